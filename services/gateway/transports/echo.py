"""/ws/echo: every text and binary message comes back unchanged; for conformance suites and for finding one's way."""
# ruff: noqa: D102 - interface.py documents what a receiver gets

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from services.gateway.websocket.connection import Connection, serve

Release = Callable[[], None]
Admit = Callable[[str], Release | None]
"""Asked with a client's address: None refuses it; else what to call when its connection is over."""


class Echo:
    """Receives for an echo connection; reads no further while the peer does not read what came back."""

    __slots__ = ("_connection", "_release")

    def __init__(self, connection: Connection, release: Release) -> None:
        self._connection = connection
        self._release = release

    def received_text(self, text: bytes) -> None:
        self._connection.send_text(text)

    def received_binary(self, data: bytes) -> None:
        self._connection.send_binary(data)

    def received_pong(self) -> None: ...

    def stalled(self) -> None:
        self._connection.pause_reading()

    def writable(self) -> None:
        self._connection.resume_reading()

    def closed(self, code: int, reason: str, clean: bool) -> None:  # noqa: ARG002, FBT001 - the end is the end
        self._release()


def _unlimited(address: str) -> Release:  # noqa: ARG001 - every address is welcome
    return lambda: None


def echo_route(max_bytes: int, *, admit: Admit = _unlimited) -> WebSocketRoute:
    """The route of /ws/echo; `max_bytes` limits a message, 0 answers every handshake with 404.

    A client that `admit` refuses is accepted and closed with 4006, so that it can read why.
    """

    async def echo(websocket: WebSocket) -> None:
        if not max_bytes:
            await websocket.send_denial_response(PlainTextResponse("Not Found", 404))
            return
        # Admitted once nothing can go wrong any more: a client that has gone meanwhile would stay counted.
        await websocket.accept()
        release = admit(websocket.client.host if websocket.client else "")
        if release is None:
            await websocket.close(4006, "too many connections from this address")
            return
        await serve(websocket, lambda connection: Echo(connection, release), max_bytes=max_bytes)

    return WebSocketRoute("/ws/echo", echo, name="echo")
