"""What transports read of a request, and a WebSocket handshake read without Starlette: a tenth of the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from services.gateway.websocket import Request


class ClientRequest(Protocol):
    """The part of Starlette's HTTPConnection that is needed to judge a request.

    Of what is there twice, headers give the first value and query parameters the last.
    """

    @property
    def scope(self) -> Any:
        """The ASGI scope, at least its `type`, and the `subprotocols` of a WebSocket."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in lower case."""

    @property
    def query_params(self) -> Mapping[str, str]:
        """Decoded."""


class HandshakeRequest:
    """An opening handshake as `ClientRequest`; `path` is the target's, undecoded."""

    __slots__ = ("headers", "path", "query_params", "scope")

    def __init__(self, request: Request) -> None:
        self.scope: dict[str, Any] = {"type": "websocket", "subprotocols": request.subprotocols}
        self.headers: dict[str, str] = {}
        for name, value in request.headers:
            self.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        self.path, _, query = request.target.partition(b"?")
        self.query_params = _parameters(query.decode("latin-1"))


def _parameters(query: str) -> dict[str, str]:
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    pairs = (part.partition("=") for part in query.split("&"))
    return {name: value for name, _, value in pairs if name}
