"""A small HTTP server that stands where a service will be: says what it was asked, streams, upgrades, or misbehaves."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import socketserver
import threading
import time
from typing import Any

from deploy.local.ports import free_port

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3


class Backend:
    """Answers every request with `{"backend", "method", "path", "headers"}`; a WebSocket handshake is accepted.

    `/healthz` is answered while it lives. `mode`: `ok`, `unavailable` (answers 503), `dies` (reads the request and hangs up),
    `drops` (the same, but it says that it lives),
    `refuses` (answers 401 as soon as it has read the head), or `hangs` (takes connections and says nothing).
    On `/sse` it sends one event at once and the second when `release` is set.
    """

    def __init__(self, name: str, port: int | None = None) -> None:
        self.name = name
        self.mode = "ok"
        self.release = threading.Event()
        self.requests: list[str] = []
        # Not one of outgoing connections, or one of those could have it between `stop` and `start`.
        self._port = free_port() if port is None else port
        self.start()

    @property
    def port(self) -> int:
        """Where it listens; the same after `stop` and `start`."""
        return self._port

    def start(self) -> None:
        """Listen."""
        backend = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    while backend._answer(self):
                        pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False
            request_queue_size = 512

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Refuse new connections and cut those that are open."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, handler: Any) -> bool:
        """Answer one request; whether the connection may carry another."""
        self._open.add(handler.connection)
        while self.mode == "hangs":
            time.sleep(0.02)
        line = handler.rfile.readline().decode("latin-1").strip()
        if not line:
            return False
        headers: dict[str, str] = {}
        while header := handler.rfile.readline().decode("latin-1").strip():
            name, _, value = header.partition(": ")
            headers[name.lower()] = value
        method, path, _ = line.split(" ")
        asked_whether_it_lives = path == "/healthz"
        if not asked_whether_it_lives:
            self.requests.append(line)
        if self.mode == "refuses":
            handler.wfile.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        handler.rfile.read(int(headers.get("content-length", "0")))
        hangs_up = self.mode == "drops" and not asked_whether_it_lives
        if self.mode in ("dies", "refuses") or hangs_up:
            return False
        if asked_whether_it_lives or self.mode == "unavailable":
            status = b"200 OK" if asked_whether_it_lives else b"503 Service Unavailable"
            handler.wfile.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
            return True
        if headers.get("upgrade", "").lower() == "websocket":
            return self._upgrade(handler, headers)
        if path.startswith("/sse"):
            return self._stream(handler)
        said = {"backend": self.name, "method": method, "path": path, "headers": headers}
        body = json.dumps(said).encode()
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        return True

    def _upgrade(self, handler: Any, headers: dict[str, str]) -> bool:
        digest = hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest()
        handler.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\nX-Backend: %b\r\n\r\n"
            % (base64.b64encode(digest), self.name.encode())
        )
        handler.rfile.read(1)  # a close frame, or the end; hanging up answers either
        return False

    def _stream(self, handler: Any) -> bool:
        handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Backend: %b\r\n"
            b"Connection: close\r\n\r\ndata: first\n\n" % self.name.encode()
        )
        self.release.wait(10)
        handler.wfile.write(b"data: second\n\n")
        return False
