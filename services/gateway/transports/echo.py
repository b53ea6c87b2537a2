"""/ws/echo: every text and binary message comes back unchanged; for conformance suites and first steps."""
# ruff: noqa: D102 - Receiver documents these calls

from __future__ import annotations

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


class Echo:
    """Receives for an echo connection; reads no further while the peer does not read what came back."""

    __slots__ = ("_connection", "_quota")

    def __init__(self, connection: Connection, quota: Quota) -> None:
        self._connection = connection
        self._quota = quota

    def received_text(self, text: bytes) -> None:
        self._connection.send_text(text)

    def received_binary(self, data: bytes) -> None:
        self._connection.send_binary(data)

    def received_pong(self) -> None: ...

    def stalled(self) -> None:
        self._connection.pause_reading()

    def writable(self) -> None:
        self._connection.resume_reading()

    def shutdown(self) -> None:
        self._connection.close(1012, "the server restarts")

    def closed(self, code: int, reason: str, clean: bool) -> None:  # noqa: ARG002, FBT001 - the end is the end
        self._quota.release(self._connection.address)


def echo_route(max_bytes: int, *, quota: Quota) -> WebSocketRoute:
    """The route of /ws/echo; `max_bytes` limits a message; with 0 every client is closed with 4000.

    A client over `quota` is accepted and closed with 4104 or 4006, so that it can read why.
    """

    def begin(connection: Connection) -> Echo | None:
        if not within_address_limit(quota, connection):
            return None
        quota.came(connection.address, connection)
        return Echo(connection, quota)

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
