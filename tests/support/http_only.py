"""A way to a server that lets HTTP through and no WebSocket, as some companies' proxies do."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class HttpOnly(socketserver.ThreadingTCPServer):
    """`url`: where it listens; `refused`: how many upgrades it has cut."""

    daemon_threads = False  # so that closing waits for them
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.port = port
        self.refused = 0
        self.open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        """Its address as that of a front door."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cut(self) -> None:
        """End all connections."""
        for line in tuple(self.open):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class _Passage(socketserver.BaseRequestHandler):
    server: HttpOnly

    def handle(self) -> None:
        # A browser opens a connection of its own for each WebSocket: the first request says what it is for.
        near = self.request
        head = near.recv(65_536)
        if b"upgrade: websocket" in head.lower():
            self.server.refused += 1
            return
        with socket.create_connection(("127.0.0.1", self.server.port)) as far:
            self.server.open |= {near, far}
            far.sendall(head)
            answers = threading.Thread(target=_pass_on, args=(far, near))
            answers.start()
            _pass_on(near, far)
            answers.join()
            self.server.open -= {near, far}


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for line in (source, target):
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


@contextmanager
def http_only(port: int) -> Iterator[HttpOnly]:
    """Listen until the block ends, before the server at this port."""
    with HttpOnly(port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
            server.cut()
