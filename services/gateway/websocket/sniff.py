"""What a client meets first, as a uvicorn `http=` class: a handshake that came whole needs no HTTP server."""
# ruff: noqa: D102 - asyncio documents these calls

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from services.gateway.websocket import handshake
from services.gateway.websocket.handshake import Refusal, Request
from services.kernel.http.http_protocol import HttpProtocol

_BODY = (b"content-length", b"transfer-encoding", b"expect")
"""Headers of which uvicorn knows more than we do."""


class Door(asyncio.Protocol):
    """Looks at the first bytes of a connection and gives it to LeanProtocol, which the server's `ws=` must make, when
    they are one valid handshake and nothing else. All others, refusals too, get what they would get without us:
    HttpProtocol, which reads the same bytes anew.
    """

    __slots__ = ("_app_state", "_config", "_server_state", "_transport")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio.Transport's
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes

    def data_received(self, data: bytes) -> None:
        self._server_state.connections.discard(self)
        request = _handshake(data)
        if request is not None:
            lean = self._make(self._config.ws_protocol_class)
            lean.ask(request)
        else:
            self._make(HttpProtocol).data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went changes nothing
        self._server_state.connections.discard(self)

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this on each of its connections)."""
        self._transport.close()

    def _make(self, kind: Any) -> Any:
        """The transport's next protocol."""
        protocol = kind(
            config=self._config, server_state=self._server_state, app_state=self._app_state
        )
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        return protocol


def _handshake(data: bytes) -> Request | None:
    """The request, if the bytes are a valid handshake to the last."""
    if not data.startswith(b"GET ") or data.find(b"\r\n\r\n") != len(data) - 4:
        return None
    if b"sec-websocket-key" not in data.lower():
        return None
    try:
        request = handshake.parse(data)
    except Refusal:
        return None
    joined = request.joined
    # uvicorn upgrades to nothing else, nor when it is one of several.
    if joined[b"upgrade"].lower() != b"websocket" or any(name in joined for name in _BODY):
        return None
    return request
