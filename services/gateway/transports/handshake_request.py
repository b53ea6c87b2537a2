"""What a handshake asks for, without Starlette: the same looks at headers, query and cookies for a tenth of the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection

from services.gateway.websocket.handshake import Request


class Asking(Protocol):
    """The part of Starlette's HTTPConnection that handshakes need. Of what is there twice, headers give the first value
    and query parameters the last.
    """

    @property
    def scope(self) -> Any:
        """The ASGI scope, at least its type."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in lower case."""

    @property
    def query_params(self) -> Mapping[str, str]:
        """Decoded."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """By name."""


class Asked:
    """An opening handshake as `Asking`; `path` is the target's, undecoded."""

    __slots__ = ("_raw", "headers", "path", "query_params", "scope")

    def __init__(self, request: Request) -> None:
        self._raw = request.headers
        self.scope: dict[str, Any] = {"type": "websocket"}
        self.headers: dict[str, str] = {}
        for name, value in request.headers:
            self.headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        self.path, _, query = request.target.partition(b"?")
        self.query_params = _parameters(query.decode("latin-1"))

    @property
    def cookies(self) -> Mapping[str, str]:
        """See Asking."""
        if "cookie" not in self.headers:
            return {}
        return HTTPConnection({"type": "websocket", "headers": self._raw}).cookies


def _parameters(query: str) -> dict[str, str]:
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    pairs = (part.partition("=") for part in query.split("&"))
    return {name: value for name, _, value in pairs if name}
