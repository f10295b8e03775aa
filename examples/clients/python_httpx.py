"""Starts a run and prints its events, one line of JSON each, over lost connections and restarts of the server.

pip install httpx httpx-sse; RUNWIRE_KEY=$(runwire key) python python_httpx.py "what is in the workspace?"
"""
import json, os, sys, time, uuid
import httpx
from httpx_sse import connect_sse

FINAL = ("run.completed", "run.failed", "run.cancelled", "run.interrupted")


def follow(client, text):
    """Yields all events of a new run, each once and in order."""
    once, run, last, done = uuid.uuid4().hex, None, "-1", False
    while not done:
        try:
            # The same idempotency key gives the same run again, never a second one.
            run = run or client.post("/v1/runs", json={"input": text}, headers={"Idempotency-Key": once}) \
                .raise_for_status().json()["run_id"]
            with connect_sse(client, "GET", f"/v1/runs/{run}/events", headers={"Last-Event-ID": last}) as stream:
                stream.response.raise_for_status()
                for frame in filter(lambda frame: frame.data, stream.iter_sse()):  # a keepalive has none
                    last = frame.id
                    done = json.loads(frame.data)["event"] in FINAL
                    yield frame.data
        except httpx.HTTPStatusError as error:
            if error.response.is_client_error:
                raise  # it would be refused again
        except httpx.TransportError:
            pass  # the connection was lost, or the server is not back yet
        if not done:
            time.sleep(1)


key, url = os.environ["RUNWIRE_KEY"], os.environ.get("RUNWIRE_URL", "http://127.0.0.1:8642")
# A silent connection is a dead one: the server says something every ten seconds.
with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
    for event in follow(client, sys.argv[1]):
        print(event, flush=True)
