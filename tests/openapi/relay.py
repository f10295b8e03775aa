"""A way to a server on which a stream of many runs has an end: half a second of silence ends it.

Usage: relay.py PORT    prints its own address, and relays to that port of this machine
"""
import contextlib
import socket
import sys
import threading

SILENCE_S = 0.5


class Line:
    """A client's connection and the server's."""

    def __init__(self, near, port):
        self.near, self.far = near, socket.create_connection(("127.0.0.1", port))
        self.has_feed = False
        for pump in (self.ask, self.answer):
            threading.Thread(target=self.until_closed, args=[pump], daemon=True).start()

    def until_closed(self, pump):
        with contextlib.suppress(OSError):
            pump()
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def ask(self):
        while data := self.near.recv(65536):
            self.has_feed = self.has_feed or data.startswith(b"GET /v1/events?")
            self.far.sendall(data)

    def answer(self):
        is_stream = False
        while data := self.far.recv(65536):
            self.near.sendall(data)
            if self.has_feed and b"text/event-stream" in data:
                is_stream = True
                self.far.settimeout(SILENCE_S)
            if is_stream:
                try:
                    self.far.recv(1, socket.MSG_PEEK)
                except TimeoutError:
                    return self.near.sendall(b"0\r\n\r\n")


listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    Line(listener.accept()[0], int(sys.argv[1]))
