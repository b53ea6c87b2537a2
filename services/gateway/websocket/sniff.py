"""A uvicorn `http=` class that inspects a connection's first bytes: a whole WebSocket handshake skips the HTTP parser.

So does a proxy's question whether the server lives, which comes before each handshake and on the same connection.
Everything else goes unchanged to the HTTP class that it is given.
"""
# ruff: noqa: D102 - asyncio documents these calls

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config

from services.gateway.websocket import handshake
from services.gateway.websocket.handshake import Refusal, Request
from services.gateway.websocket.uvicorn_names import ServerState

_BODY = (b"content-length", b"transfer-encoding", b"expect")
"""Headers that uvicorn must judge."""

KEPT_ALIVE = 75.0
"""Seconds in which it must go on after its question was answered: longer than a proxy keeps connections that are idle."""

_ALIVE = b"HEAD /healthz HTTP/1.1\r\n"
_LIVES = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class HandshakeSniffer(asyncio.Protocol):
    """Gives a connection whose first bytes are one valid handshake, and nothing else, to the server's `ws=` class.

    That must be a WebSocketProtocol. All others, invalid handshakes too, get what they would get without the sniffer:
    `http`, uvicorn's HTTP class or one derived of it, reads the same bytes.

    `head_seconds`: in which a connection must have begun to speak. A handshake of more than `head_bytes` or `head_lines` is
    left to the HTTP class, to refuse: to take it apart would hold up others.
    """

    __slots__ = (
        "_app_state",
        "_config",
        "_head_bytes",
        "_head_lines",
        "_head_seconds",
        "_http",
        "_server_state",
        "_silence",
        "_transport",
    )

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        http: Any,
        head_bytes: int,
        head_lines: int,
        head_seconds: float,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._http = http
        self._head_bytes = head_bytes
        self._head_lines = head_lines
        self._head_seconds = head_seconds
        self._transport: asyncio.Transport
        self._silence: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio.Transport's
        self._await_bytes(self._head_seconds)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes

    def data_received(self, data: bytes) -> None:
        self._silence.cancel()
        if _asks_whether_alive(data):
            self._transport.write(_LIVES)
            self._await_bytes(KEPT_ALIVE)
            return
        self._server_state.connections.discard(self)
        if self._looks_like_handshake(data):
            protocol = self._hand_over(self._config.ws_protocol_class)
            protocol.begin(data, read=_handshake, give_back=self._give_back)
        else:
            self._give_back(data)

    def _looks_like_handshake(self, data: bytes) -> bool:
        """Whether it is worth taking apart, which costs more than all else here and so waits for its turn."""
        if len(data) > self._head_bytes or data.count(b"\n") > self._head_lines:
            return False
        return data.startswith(b"GET ") and _is_whole(data) and b"sec-websocket-key" in data.lower()

    def _give_back(self, data: bytes) -> None:
        """Not a handshake that we answer: the HTTP class reads it."""
        self._hand_over(self._http).data_received(data)

    def _await_bytes(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._silence = loop.call_later(seconds, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went changes nothing
        self._silence.cancel()
        self._server_state.connections.discard(self)

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this on each of its connections)."""
        self._transport.close()

    def _hand_over(self, kind: Any) -> Any:
        """The transport's next protocol."""
        protocol = kind(
            config=self._config, server_state=self._server_state, app_state=self._app_state
        )
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        return protocol


def _asks_whether_alive(data: bytes) -> bool:
    if not data.startswith(_ALIVE) or not _is_whole(data):
        return False
    head = data.lower()
    return b"connection:" not in head and not any(name in head for name in _BODY)


def _is_whole(data: bytes) -> bool:
    """Whether the bytes are one request without a body, and nothing else."""
    return data.find(b"\r\n\r\n") == len(data) - 4


def _handshake(data: bytes) -> Request | None:
    """The request, if bytes that look like a handshake are a valid one."""
    try:
        request = handshake.parse(data)
    except Refusal:
        return None
    joined = request.joined
    # uvicorn upgrades to nothing else, nor to one of several.
    if joined[b"upgrade"].lower() != b"websocket" or any(name in joined for name in _BODY):
        return None
    return request
