"""A Server-Sent Events stream of a user."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

from loadtest.swarm.line import READ, Line
from loadtest.swarm.wire import RefusedError

_PATIENCE = 20.0


class Stream(Line):
    """An open stream. Raises RefusedError, OSError when it cannot be had. `path` holds the query as well."""

    def __init__(self, host: str, path: str, *, token: str, cursor: str = "") -> None:
        parts = urlsplit(host)
        secure = parts.scheme == "https"
        name = parts.hostname or ""
        sock = socket.create_connection(
            (name, parts.port or (443 if secure else 80)), timeout=_PATIENCE
        )
        if secure:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=name)
        try:
            self._first = _open(sock, _request(parts.netloc, path, token=token, cursor=cursor))
        except BaseException:
            sock.close()
            raise
        super().__init__(sock)

    def read(self, took: Callable[[bytes], None]) -> None:
        """See Line."""
        if self._first:
            took(self._first)
        super().read(took)

    def leave(self) -> None:
        """There is no farewell."""


def _open(sock: socket.socket, request: bytes) -> bytes:
    """Send the request; what came behind the answer's head."""
    sock.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(READ)
        if not more:
            raise OSError("closed before an answer came")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1]
    if status != b"200":
        raise RefusedError(f"HTTP {status.decode()} instead of a stream: {rest[:200].decode()}")
    return rest


def _request(netloc: str, path: str, *, token: str, cursor: str) -> bytes:
    # HTTP/1.0, so that the answer is the stream itself and not chunks of it (RFC 9112 section 7.1). Without Accept, so that
    # a refusal is a status.
    lines = [f"GET {path} HTTP/1.0", f"Host: {netloc}", f"Authorization: Bearer {token}"]
    if cursor:
        lines.append(f"Last-Event-ID: {cursor}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
