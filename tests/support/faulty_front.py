"""A real HTTP server before the real one that fails as orders say: before it has passed a request on, or after."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, NamedTuple

import httpx2

from tests.support.waiting import wait_until

Fault = Literal[
    "none", "503 before", "503 after", "429 before", "cut before", "cut after", "hang after"
]


class Request(NamedTuple):
    """A request that came, whatever became of it."""

    method: str
    path: str
    body: bytes
    port: int
    """Of the caller: its connection."""


class FaultyFront:
    """Requests whose path begins with `failing` meet the `faults` in their order, one each; then, and all else, pass."""

    def __init__(self, url: str, target: str) -> None:
        self.url = url
        self.faults: deque[Fault] = deque()
        self.failing = "/v1/"
        self.requests: list[Request] = []
        self.released = threading.Event()
        self._upstream = httpx2.Client(base_url=target, timeout=30)

    def published(self) -> list[Request]:
        """Requests to publish."""
        return [request for request in self.requests if request.path.startswith("/v1/")]

    def next_fault(self, path: str) -> Fault:
        """What the next request meets."""
        if path.startswith(self.failing) and self.faults:
            return self.faults.popleft()
        return "none"

    def forward(self, request: Request, headers: dict[str, str]) -> httpx2.Response:
        """The real server's answer."""
        kept = {
            name: value
            for name, value in headers.items()
            if name in ("authorization", "content-type")
        }
        return self._upstream.request(
            request.method, request.path, content=request.body, headers=kept
        )

    def close(self) -> None:
        """Let go of whoever hangs."""
        self.released.set()
        self._upstream.close()


class _Handler(BaseHTTPRequestHandler):
    front: FaultyFront
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = Request(self.command, self.path, body, self.client_address[1])
        fault = self.front.next_fault(self.path)
        self.front.requests.append(request)
        if fault.endswith("before"):
            self._fail(fault)
            return
        response = self.front.forward(request, {k.lower(): v for k, v in self.headers.items()})
        if fault.endswith("after"):
            self._fail(fault)
            return
        kind = response.headers.get("content-type", "application/json")
        self._answer(response.status_code, response.content, {"Content-Type": kind})

    def _fail(self, fault: Fault) -> None:
        if fault.startswith("503"):
            self._answer(503, b"<html>", {})
        elif fault.startswith("429"):
            self._answer(429, b"{}", {"Retry-After": "1"})
        else:
            if fault.startswith("hang"):
                self.front.released.wait(30)
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def faulty_front(target: str) -> Iterator[FaultyFront]:
    """A started front; leaving stops it and waits for its threads."""
    front = FaultyFront("", target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"front": front}))
    server.daemon_threads = True
    front.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield front
    finally:
        front.close()
        server.shutdown()
        server.server_close()
        wait_until(lambda: not thread.is_alive())
