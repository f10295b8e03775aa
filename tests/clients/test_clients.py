"""Runs each example of a client against the real server, over a way that is cut in the middle of frames and a
server that is killed and started again, and compares what it printed with what the server has."""
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/browser"))
from kit import KEY, Model, Server  # noqa: E402

HERE = ROOT / "target/clients"
CLIENTS = {
    "curl": ["sh", ROOT / "examples/clients/curl.sh", '{"input": "slow"}'],
    "python_httpx": [HERE / "venv/bin/python", ROOT / "examples/clients/python_httpx.py", "slow"],
    "typescript_fetch": ["node", HERE / "fetch.mjs", "slow"],
    "typescript_eventsource": ["node", HERE / "eventsource.mjs", "slow"],
}
DEADLINE = 60
LINES_MAX = 40
# What the first ways to the server let through before they are cut: less than a reply's head, a
# part of the first frames, and more.
CUTS = [100, 700, 1501, 2222]


def slow(_):
    """An answer with pauses, with what frames and lines could be broken at."""
    for number in range(60):
        time.sleep(0.1)
        yield {"content": f"{number}: \u2028 \"id: 7\" \\ ünï\r\n\n"}


class Lossy:
    """A way to a port. The first connections are cut after so many bytes of the server's."""

    def __init__(self, port, cuts):
        self.port, self.cuts = port, list(cuts)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return  # closed
            left = self.cuts.pop(0) if self.cuts else None
            threading.Thread(target=self.carry, args=(near, left), daemon=True).start()

    def carry(self, near, left):
        try:
            with near, socket.create_connection(("127.0.0.1", self.port)) as far:
                threading.Thread(target=self.pump, args=(near, far, None), daemon=True).start()
                self.pump(far, near, left)
                near.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server is away, or the client has gone

    def pump(self, source, sink, left):
        try:
            while left != 0 and (data := source.recv(65536)[:left]):
                sink.sendall(data)
                left = left and left - len(data)
        except OSError:
            pass  # closed


class Client:
    """An example at work, and the lines it has printed."""

    def __init__(self, name, url, home):
        env = {**os.environ, "RUNWIRE_KEY": KEY, "RUNWIRE_URL": url, "RUNWIRE_HOME": home}
        self.process = subprocess.Popen(CLIENTS[name], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.more = [], threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with self.process.stdout as stdout:
            for line in stdout:
                with self.more:
                    self.lines.append(line.rstrip(b"\n"))
                    self.more.notify_all()

    def await_lines(self, count):
        with self.more:
            assert self.more.wait_for(lambda: len(self.lines) >= count, DEADLINE), self.lines[-1:]

    def await_end(self):
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        with self.process.stderr as stderr:
            said = stderr.read()
        assert code == 0, said
        self.reader.join(DEADLINE)
        with self.more:
            return [json.loads(line) for line in self.lines]


def kept(server):
    """All events of the only run there is, as the server has them."""
    runs = json.loads(server.ask("v1/runs"))["data"]
    assert len(runs) == 1, "a retry has begun a second run"
    frames = server.ask(f"v1/runs/{runs[0]['run_id']}/events").decode().split("\n")
    return [json.loads(line[6:]) for line in frames if line.startswith("data: ")]


class Clients(unittest.TestCase):
    def setUp(self):
        self.model = Model({"slow": [slow]})
        self.addCleanup(self.model.close)
        self.server = Server(*self.model.flags, "--keepalive", "1s")
        self.addCleanup(self.server.close)

    def begin(self, name, cuts):
        self.way = Lossy(self.server.port, cuts)
        self.addCleanup(self.way.listener.close)
        return Client(name, self.way.url, self.server.url.rstrip("/"))

    def see_everything_over_lost_connections(self, name):
        events = self.begin(name, CUTS).await_end()
        self.assertEqual(events, kept(self.server))
        self.assertEqual(events[-1]["event"], "run.completed")
        self.assertGreater(len(events), 30)
        self.assertEqual(self.way.cuts, [], "the connection was not cut as often as it should be")

    def see_everything_over_a_restart(self, name):
        client = self.begin(name, [])
        client.await_lines(5)
        self.server.kill()
        time.sleep(1.5)  # long enough for a client to come to a closed door
        self.server.start()
        events = client.await_end()
        self.assertEqual(events, kept(self.server))
        self.assertEqual(events[-1]["event"], "run.interrupted")

    def fit_on_a_screen(self, name):
        path, = (ROOT / "examples/clients").glob(f"{name}.*")
        self.assertLessEqual(len(path.read_text().splitlines()), LINES_MAX)


for test in (Clients.see_everything_over_lost_connections, Clients.see_everything_over_a_restart,
             Clients.fit_on_a_screen):
    for name in CLIENTS:
        title = f"test_{name}_can_{test.__name__}".replace("can_fit", "fits")
        setattr(Clients, title, lambda self, test=test, name=name: test(self, name))

if __name__ == "__main__":
    unittest.main()
