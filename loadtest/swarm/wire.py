"""A WebSocket of a user: the handshake by websocket-client, then plain reads and our own frames."""

from __future__ import annotations

import socket
from contextlib import suppress
from http import HTTPStatus

import websocket

from loadtest.bench import frames
from loadtest.swarm.line import Line

_PATIENCE = 20.0


class RefusedError(OSError):
    """The server did not take the connection; the message says what to do."""


class Wire(Line):
    """An open connection. Raises RefusedError, OSError when it cannot be had."""

    def __init__(self, url: str, *, token: str) -> None:
        try:
            connection = websocket.create_connection(
                url,
                timeout=_PATIENCE,
                header=[f"Authorization: Bearer {token}"],
                enable_multithread=False,
                sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            )
        except websocket.WebSocketBadStatusException as error:
            raise RefusedError(_advice(error.status_code)) from None
        except websocket.WebSocketException as error:
            raise OSError(str(error)) from None
        assert connection.sock is not None
        super().__init__(connection.sock)

    def send(self, text: bytes) -> None:
        """Send a text message. Raises OSError."""
        self.write(frames.client(frames.TEXT, text))

    def leave(self) -> None:
        """Say farewell: 1000, so that the server lets everybody know at once."""
        with suppress(OSError):
            self.write(frames.client(frames.CLOSE, b"\x03\xe8"))


def _advice(status: int | None) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return (
            "HTTP 429: more connections from here than the target takes; start it with OPENLINE_LIMITS=off, or raise "
            "its limit of connections an address"
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            "HTTP 401: the gateway does not trust the tokens of this auth; see OPENLINE_JWKS_URLS"
        )
    return f"HTTP {status} instead of a WebSocket"
