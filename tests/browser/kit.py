"""What the browser's tests stand on: the real server, a model that says what it is told, and a
server of canned answers for what the real one cannot be brought to do."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("RUNWIRE_BINARY", ROOT / "target/debug/runwire"))
KEY = "only-for-the-tests-in-a-browser"


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def drain(pipe):
    """Takes what is said until nobody is left to say it."""
    with pipe:
        pipe.read()


class Server:
    """The real program on a port of its own, which it keeps when it is killed and started again."""

    def __init__(self, *flags):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="runwire-browser-"))
        (self.home / "state").mkdir()
        (self.home / "work").mkdir()
        self.flags, self.port = flags, free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self):
        line = [BINARY, "serve", "--port", str(self.port), "--key", KEY, "--state", self.home / "state",
                "--workspace", self.home / "work", *self.flags]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home)}
        self.process = subprocess.Popen(line, env=env, stderr=subprocess.PIPE, text=True)
        for said in self.process.stderr:
            if "curl -sN" in said:
                break
        threading.Thread(target=drain, args=[self.process.stderr], daemon=True).start()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def link(self):
        """What `serve` prints on a terminal."""
        return f"{self.url}#key={KEY}"

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=30) as response:
            return response.read()

    def run(self, text):
        return json.loads(self.ask("v1/runs", {"input": text}))["run_id"]

    def status(self, run):
        return json.loads(self.ask(f"v1/runs/{run}"))["status"]

    def await_end(self, run):
        deadline = time.monotonic() + 60
        while self.status(run) in ("queued", "running", "stopping"):
            assert time.monotonic() < deadline, f"{run} does not end"
            time.sleep(0.05)
        return self.status(run)


class Relay:
    """A way to a port that can be cut."""

    def __init__(self, port):
        self.port, self.ends = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return  # closed
            far = socket.create_connection(("127.0.0.1", self.port))
            self.ends += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=ends, daemon=True).start()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # cut

    def cut(self):
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it had gone by itself
            end.close()
        self.ends.clear()

    def close(self):
        self.listener.close()
        self.cut()


class Model:
    """Speaks chat completions. `script` maps a word of the input to the turns it is answered with; each
    is a list of deltas, or a generator of them. It may wait for `go`."""

    def __init__(self, script):
        self.go = threading.Event()
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                messages = body["messages"]
                last = max(i for i, it in enumerate(messages) if it["role"] == "user")
                # A steer is a message of the user, too: the scene is that of the first one known.
                said = [str(it["content"]) for it in messages if it["role"] == "user"]
                name = next(word for text in reversed(said) for word in script if word in text)
                turn = sum(it["role"] == "assistant" for it in messages[last:])
                if not any(word in said[-1] for word in script):
                    turn = len(script[name]) - 1
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                try:
                    self.answer(script[name][min(turn, len(script[name]) - 1)])
                except OSError:
                    pass  # whoever asked has gone

            def answer(self, turn):
                reason = "stop"
                for delta in turn(model) if callable(turn) else turn:
                    if "tool_calls" in delta:
                        reason = "tool_calls"
                    self.say({"choices": [{"index": 0, "delta": delta}]})
                self.say({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
                usage = {"prompt_tokens": 1200, "completion_tokens": 345, "total_tokens": 1545}
                self.say({"choices": [], "usage": usage})
                self.wfile.write(b"data: [DONE]\n\n")

            def say(self, data):
                self.wfile.write(b"data: " + json.dumps(data).encode() + b"\n\n")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.flags = ["--base-url", f"http://127.0.0.1:{self.server.server_port}/v1", "--model", "scripted"]

    def close(self):
        self.go.set()
        self.server.shutdown()


def call(tool, **arguments):
    """A delta that calls a tool."""
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"index": 0, "id": f"call-{time.monotonic_ns()}", "function": function}]}


class Stub:
    """The page as it is sent, and one run whose events are given: it asks for leave and waits."""

    RUN = "run_" + "a" * 32

    def __init__(self, before, after):
        self.decided, self.over = threading.Event(), threading.Event()
        self.decision = None
        stub, begun = self, time.time() - 4
        status = {"object": "hermes.run", "run_id": self.RUN, "status": "waiting_for_approval", "created_at": begun,
                  "updated_at": begun, "session_id": "s", "model": "scripted", "preview": "clean up the build folder"}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.path == "/":
                    policy = (ROOT / "src/page/policy.txt").read_text()
                    body = (ROOT / "src/page/index.html").read_bytes()
                    return self.reply(body, "text/html; charset=utf-8", {"Content-Security-Policy": policy})
                if self.path.startswith("/v1/events"):
                    return self.stream()
                is_list = self.path.startswith("/v1/runs?")
                page = {"data": [status] if is_list else [], "has_more": False, "last_id": stub.RUN, "model": "scripted"}
                self.reply(json.dumps(status if self.path.endswith(stub.RUN) else page).encode())

            def do_POST(self):
                stub.decision = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status["status"] = "completed"
                stub.decided.set()
                self.reply(json.dumps({"resolved": 1}).encode())

            def stream(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for seq, event in enumerate([*before, None, *after] if stub.RUN in self.path else []):
                    if event is None:
                        self.wfile.flush()
                        stub.decided.wait(60)
                        continue
                    seq -= seq > len(before)
                    shown = {"run_id": stub.RUN, "timestamp": begun + seq * 0.7, "seq": seq, **event}
                    self.wfile.write(f"id: {seq}\ndata: {json.dumps(shown)}\n\n".encode())
                self.wfile.flush()
                stub.over.wait(120)
                self.close_connection = True

            def reply(self, body, kind="application/json", headers={}):
                self.send_response(200)
                for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def close(self):
        self.decided.set()
        self.over.set()
        self.server.shutdown()
