"""/ws/echo: every text and binary message comes back unchanged; for conformance suites and first steps."""
# ruff: noqa: D102 - Receiver documents these calls

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from services.gateway.node.quota import Quota
from services.gateway.transports.admission import within_address_limit
from services.gateway.transports.farewell import farewell
from services.gateway.websocket import Acceptance, Connection
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol import subprotocols

_OFF = OpenlineError(
    Code.BAD_REQUEST, "there is no echo here; the operator turns it on by OPENLINE_ECHO_MAX_BYTES"
)


PIECE = 65_536
"""Bytes that come back in a row. Between two pieces nginx finds nothing to read or no room to write: it passes a WebSocket's
bytes on for as long as there are any, and all other connections of its worker wait."""


class Echo:
    """Receives for an echo connection; reads no further while the peer does not read what came back.

    `bytes_rate`: bytes a second that come back, 0 = any number. `call_later` is the loop's.
    """

    __slots__ = (
        "_bytes_rate",
        "_call_later",
        "_connection",
        "_echoed",
        "_is_pausing",
        "_is_stalled",
        "_quota",
    )

    def __init__(
        self,
        connection: Connection,
        quota: Quota,
        *,
        bytes_rate: float,
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._connection = connection
        self._quota = quota
        self._bytes_rate = bytes_rate
        self._call_later = call_later
        self._echoed = 0
        self._is_pausing = False
        self._is_stalled = False

    def received_text(self, text: bytes) -> None:
        self._connection.send_text(text)
        self._count(len(text))

    def received_binary(self, data: bytes) -> None:
        self._connection.send_binary(data)
        self._count(len(data))

    def received_pong(self) -> None: ...

    def stalled(self) -> None:
        self._is_stalled = True
        self._connection.pause_reading()

    def writable(self) -> None:
        self._is_stalled = False
        self._read_on()

    def _count(self, size: int) -> None:
        self._echoed += size
        if self._bytes_rate and self._echoed >= PIECE and not self._is_pausing:
            self._is_pausing = True
            self._connection.pause_reading()
            self._call_later(self._echoed / self._bytes_rate, self._paused)
            self._echoed = 0

    def _paused(self) -> None:
        self._is_pausing = False
        self._read_on()

    def _read_on(self) -> None:
        if not self._is_pausing and not self._is_stalled:
            self._connection.resume_reading()

    def shutdown(self) -> None:
        self._connection.close(1012, "the server restarts")

    def closed(self, code: int, reason: str, clean: bool) -> None:  # noqa: ARG002, FBT001 - the end is the end
        self._quota.release(self._connection.address)


def echo_route(max_bytes: int, *, quota: Quota, bytes_rate: float = 0) -> WebSocketRoute:
    """The route of /ws/echo; `max_bytes` limits a message; with 0 every client is closed with 4000.

    `bytes_rate`: bytes a second that come back on a connection, 0 = any number.

    A client over `quota` is accepted and closed with 4104 or 4006, so that it can read why.
    """

    def begin(connection: Connection) -> Echo | None:
        if not within_address_limit(quota, connection):
            return None
        quota.came(connection.address, connection)
        call_later = asyncio.get_running_loop().call_later
        return Echo(connection, quota, bytes_rate=bytes_rate, call_later=call_later)

    async def echo(websocket: WebSocket) -> None:
        offered = websocket.scope["subprotocols"]
        if max_bytes:
            # What is spoken here is the client's own; a browser wants one of its offer named.
            own = subprotocols.named(offered)
            # Conformance suites send tens of thousands of fragments.
            acceptance = Acceptance(
                begin, max_bytes=max_bytes, subprotocol=own, any_frame_rate=True
            )
            acceptance.complete(websocket.scope)
        else:
            farewell(_OFF, offered).complete(websocket.scope)

    return WebSocketRoute("/ws/echo", echo, name="echo")
