"""WebSocket routes: the native protocol at /ws, and the plain routes for rooms and notifications."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.gateway.fanout.wire_format import JSON, MSGPACK, Framed
from services.gateway.node.node import Node
from services.gateway.session.native import NativeSession
from services.gateway.session.plain import NotifySession, RoomSession
from services.gateway.session.session import Session
from services.gateway.transports.credentials import LATER, Credential, Later, credential, identify
from services.gateway.transports.echo import echo_route
from services.gateway.transports.handshake_request import Asked, Asking
from services.gateway.websocket.connection import serve
from services.gateway.websocket.fast_accept import Welcome
from services.gateway.websocket.handshake import Request
from services.gateway.websocket.interface import Connection
from services.kernel.domain import positions
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, Code, OpenlineError
from services.kernel.domain.origins import Origins
from services.kernel.domain.positions import Position
from services.kernel.http import middleware, problems
from services.kernel.protocol import subprotocols
from services.kernel.protocol.commands import MAX_LAST

log = structlog.get_logger(__name__)

_PATHS = ("/ws", "/ws/rooms/{room}", "/ws/notify/{topic}")

Make = Callable[[Connection], Session]

_PLAIN_PATH = re.compile(rb"/ws(/(rooms|notify)/[A-Za-z0-9._~:@!$&'()*+,;=-]+)?\Z")
"""Paths of sessions in which nothing is to be decoded."""


class _NotKnownError(Exception):
    """It takes more than a look to tell whose credential this is."""


class WebSocketRoutes:
    """The routes on one node."""

    def __init__(self, node: Node, origins: Origins, *, echo_max_bytes: int) -> None:
        self._node = node
        self._origins = origins
        self._echo_max_bytes = echo_max_bytes
        self._accepted = node.metrics.handshakes.labels("websocket", "accepted")

    def routes(self) -> list[Any]:
        """For the application."""
        return [
            WebSocketRoute("/ws", self.native),
            WebSocketRoute("/ws/rooms/{room}", self.room),
            WebSocketRoute("/ws/notify/{topic}", self.notify),
            echo_route(self._echo_max_bytes, admit=self._admit),
            WebSocketRoute("/{path:path}", self.nowhere),
            *(Route(path, _plain_http, methods=["GET"]) for path in _PATHS),
        ]

    def welcome(self, request: Request, client: str) -> Welcome | None:
        """Lets clients in that nothing needs to be awaited for; see Front. Refusals are all left to the routes."""
        asked = Asked(request)
        if self._node.draining or not _PLAIN_PATH.match(asked.path) or b"#" in request.target:
            return None
        try:
            found = credential(asked, self._origins)
            who = self._known(found) if isinstance(found, Credential) else found
            make, name = self._at(asked, request.subprotocols)
            self._node.quota.admit(client)
        except (_NotKnownError, OpenlineError):
            return None
        middleware.identify(asked.scope, asked.headers.get("x-request-id", ""))
        self._accepted.inc()
        return Welcome(
            lambda connection: _begin(make(connection), who),
            max_bytes=self._node.limits.frame_bytes,
            subprotocol=name,
            greets=who is not LATER,
        )

    def _known(self, credential: Credential) -> Claims:
        claims = None if credential.is_ticket else self._node.seen(credential.text)
        if claims is None:
            raise _NotKnownError
        return claims

    def _at(self, asked: Asked, offered: Iterable[str]) -> tuple[Make, str | None]:
        """What is at a path, and its subprotocol."""
        if asked.path == b"/ws":
            return self._native(offered)
        _, _, kind, name = asked.path.decode("ascii").split("/")
        if kind == "rooms":
            return self._plain(asked, RoomSession, f"room:{name}"), None
        return self._plain(asked, NotifySession, f"notify:{name}"), None

    async def native(self, websocket: WebSocket) -> None:
        """`/ws`."""
        make, name = self._native(websocket.scope.get("subprotocols", ()))
        await self._open(websocket, lambda: make, subprotocol=name)

    async def room(self, websocket: WebSocket) -> None:
        """`/ws/rooms/{room}`."""
        channel = f"room:{websocket.path_params['room']}"
        await self._open(websocket, lambda: self._plain(websocket, RoomSession, channel))

    async def notify(self, websocket: WebSocket) -> None:
        """`/ws/notify/{topic}`."""
        channel = f"notify:{websocket.path_params['topic']}"
        await self._open(websocket, lambda: self._plain(websocket, NotifySession, channel))

    async def nowhere(self, websocket: WebSocket) -> None:
        """Any other path."""
        error = OpenlineError(
            Code.BAD_REQUEST,
            "there is no WebSocket at this path; known: /ws, /ws/rooms/{room}, /ws/notify/{topic}",
        )
        await websocket.send_denial_response(problems.response(error, status=404))

    def _native(self, offered: Iterable[str]) -> tuple[Make, str | None]:
        name, codec = subprotocols.choose(offered)
        wire_format: Framed = MSGPACK if codec.binary else JSON
        return lambda connection: NativeSession(self._node, connection, wire_format), name

    def _plain(self, asked: Asking, kind: type[RoomSession | NotifySession], channel: str) -> Make:
        since, last = _place(asked)
        self._node.namespaces.of(channel)
        return lambda lean: kind(self._node, lean, channel=channel, since=since, last=last)

    async def _open(
        self, websocket: WebSocket, find: Callable[[], Make], *, subprotocol: str | None = None
    ) -> None:
        try:
            make = find()
            if self._node.draining:
                raise OpenlineError(
                    Code.UNAVAILABLE, "this gateway is draining; reconnect", retry_after=1
                )
            who = await identify(websocket, self._node, self._origins)
        except OpenlineError as error:
            await self._refuse(websocket, error)
            return
        try:
            await websocket.accept(subprotocol=subprotocol)
            address = websocket.client.host if websocket.client else ""
            self._node.quota.admit(address)
        except OpenlineError as error:
            await websocket.close(Close.CONNECTION_LIMIT, error.message)
            return
        except (WebSocketDisconnect, RuntimeError):
            return  # the client has gone meanwhile
        self._accepted.inc()
        await serve(
            websocket,
            lambda connection: _begin(make(connection), who),
            max_bytes=self._node.limits.frame_bytes,
        )

    async def _refuse(self, websocket: WebSocket, error: OpenlineError) -> None:
        self._node.metrics.refused("websocket", error.code.value, leaving=self._node.draining)
        log.debug("handshake_refused", code=error.code.value, reason=error.message)
        await websocket.send_denial_response(problems.response(error))

    def _admit(self, address: str) -> Callable[[], None] | None:
        try:
            self._node.quota.admit(address)
        except OpenlineError:
            return None
        return lambda: self._node.quota.release(address)


async def _plain_http(_request: HTTPRequest) -> Response:
    error = OpenlineError(
        Code.BAD_REQUEST,
        "this path speaks WebSocket; connect with a WebSocket client, and let proxies pass Upgrade on",
    )
    return problems.response(error, status=426, headers={"upgrade": "websocket"})


def _begin(session: Session, who: Claims | Later | None) -> Session:
    if isinstance(who, Later):
        session.schedule()
    else:
        session.open(who)
    return session


def _place(asked: Asking) -> tuple[Position | None, int]:
    """`since` and `last` of a plain route."""
    query = asked.query_params
    since = positions.parse(query["since"]) if query.get("since") else None
    last = query.get("last") or "0"
    if not last.isascii() or not last.isdecimal() or len(last) > 4 or int(last) > MAX_LAST:  # noqa: PLR2004 - digits
        raise OpenlineError(Code.BAD_REQUEST, f"last is a number from 0 to {MAX_LAST}")
    if since is not None and int(last):
        raise OpenlineError(Code.BAD_REQUEST, "give since or last, not both")
    return since, int(last)
