"""The example by EventSource where it belongs: in a real browser, on a page of an app of another origin, over
connections that are cut and a server that is killed. The app's own server makes the tokens."""
import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from test_clients import CUTS, HERE, Lossy, kept, slow  # first: it knows where the kits are
from driver import Browser
from kit import Model, Server

PAGE = """<!doctype html><title>app</title><script type="module">
import { watch } from "/client.js";
const { url, run } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
window.events = [];
const token = async () => { const reply = await fetch(`/token/${run}`); if (!reply.ok) throw reply; return reply.text(); };
watch(url, run, token, (event) => events.push(event));
</script>"""
LAST = "return window.events?.at(-1)?.event"


class App:
    """The app: its page, the client, and a token for whoever asks. `server` is given once its port is known."""

    def __init__(self):
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.startswith("/token/"):
                    try:
                        made = app.server.ask(f"v1/runs/{self.path[7:]}/token", {"lifetime": 3})
                    except OSError:
                        return self.reply(503, "text/plain", b"")
                    return self.reply(200, "text/plain", json.loads(made)["token"].encode())
                if self.path == "/client.js":
                    return self.reply(200, "text/javascript", (HERE / "js/typescript_eventsource.js").read_bytes())
                self.reply(200, "text/html", PAGE.encode())

            def reply(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


class InBrowser(unittest.TestCase):
    def setUp(self):
        self.model, self.app, self.browser = Model({"slow": [slow]}), App(), Browser()
        for it in self.model, self.app, self.browser:
            self.addCleanup(it.close)
        self.server = Server(*self.model.flags, "--keepalive", "1s", "--cors-origins", self.app.origin)
        self.addCleanup(self.server.close)
        self.app.server = self.server

    def watch(self, cuts):
        self.way = Lossy(self.server.port, cuts)
        self.addCleanup(self.way.listener.close)
        run = self.server.run("slow")
        self.browser.open(f"{self.app.origin}/#url={self.way.url}&run={run}")

    def see_all(self, end):
        self.browser.wait(end, f"{LAST} === arguments[0]", end)
        events = self.browser.js("return window.events")
        self.assertEqual(events, kept(self.server))
        self.assertGreater(len(events), 5)

    def test_everything_is_seen_once_over_lost_connections(self):
        self.watch(CUTS)
        self.see_all("run.completed")
        self.assertEqual(self.way.cuts, [], "the connection was not cut as often as it should be")

    def test_everything_is_seen_once_over_a_killed_server(self):
        self.watch([])
        self.browser.wait("some events", "return window.events?.length >= 5")
        self.server.kill()
        self.server.start()
        self.see_all("run.interrupted")


if __name__ == "__main__":
    unittest.main()
