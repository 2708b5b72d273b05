"""A brainjar that answers what a test tells it to, on a real Unix socket."""

from __future__ import annotations

import json
import os
import socket
import socketserver
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler
from typing import Any, Callable, Dict, List, NamedTuple, Optional
from urllib.parse import parse_qs, unquote, urlsplit

from brainjar import Client

# How long a test waits for what must happen, in seconds.
PATIENCE = 10.0


class Request(NamedTuple):
    """What the client sent."""

    method: str
    path: str
    query: Dict[str, List[str]]
    body: Any


Answer = Callable[["Handler", Request], None]


class Handler(BaseHTTPRequestHandler):
    """Hands a request to the fake, and has the ways to answer."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):
            self.close_connection = True  # the client went away

    def answer(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        if length and self.headers.get("Content-Type") != "application/json":
            raise AssertionError("a body that is not said to be JSON")
        request = Request(self.command, unquote(parts.path), parse_qs(parts.query), body)
        self.server.fake.requests.append(request)
        self.server.fake.handle(self, request)

    do_GET = do_POST = do_PUT = do_PATCH = answer

    def json(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def begin(self) -> None:
        """Begins a stream, which is then sent in chunks."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, value: Any, id: Optional[int] = None, event: str = "") -> None:
        lines = [f"event: {event}"] if event else []
        lines += [f"id: {id}"] if id is not None else []
        self.chunk("\n".join([*lines, "data: " + json.dumps(value), "", ""]).encode())

    def end(self) -> None:
        """Ends a stream in an orderly way."""
        self.wfile.write(b"0\r\n\r\n")

    def cut(self) -> None:
        """Breaks the connection off."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    fake: "Fake"

    def get_request(self) -> Any:
        connection, _ = super().get_request()
        connection.settimeout(PATIENCE)
        return connection, ("client", 0)


class Fake:
    """A server whose answer to anything is ``handle``."""

    def __init__(self, handle: Answer) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "control.sock")
        self.handle = handle
        self.requests: List[Request] = []
        self.gate = threading.Event()  # for answers that wait for the test
        self._server: Optional[Server] = None
        self.listen()

    def listen(self) -> None:
        self._server = Server(self.path, Handler)
        self._server.fake = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def leave(self) -> None:
        """Stops listening, and removes the socket, as a brainjar that ends."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            os.unlink(self.path)
            self._server = None

    def close(self) -> None:
        self.gate.set()
        self.leave()
        self.directory.cleanup()


class FakeTest(unittest.TestCase):
    """A test with a fake and a client of it."""

    fake: Fake
    client: Client

    def serve(self, handle: Answer) -> Client:
        self.fake = Fake(handle)
        self.addCleanup(self.fake.close)
        self.client = Client(self.fake.path)
        return self.client


def experiment(phase: str = "running", **more: Any) -> Dict[str, Any]:
    """How an experiment stands, as JSON."""
    return {"experiment": "a", "phase": phase, "since": "2026-03-01T10:00:00Z", "kind": "service", **more}
