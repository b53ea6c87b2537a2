"""The paths that speak WebSocket, and the session at each: the one table of both kinds of handshake."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from starlette.routing import compile_path

from services.gateway.fanout.wire_format import JSON, MSGPACK
from services.gateway.session.native import NativeSession
from services.gateway.session.plain import NotifySession, RoomSession
from services.gateway.session.port import Host
from services.gateway.session.session import Session
from services.gateway.transports.handshake_request import ClientRequest
from services.gateway.websocket import Connection
from services.kernel.domain import positions
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.protocol import subprotocols
from services.kernel.protocol.commands import MAX_LAST


class Destination(NamedTuple):
    """What a client asked for: how its session is made, and the subprotocol to agree on.

    `greets`: the session says `connected` as soon as it is opened.
    """

    session: Callable[[Connection], Session]
    subprotocol: str | None = None
    greets: bool = True


class Endpoint(NamedTuple):
    """`path` is a Starlette template; `destination` is asked with the node, the request and the template's values.

    `destination` raises OpenlineError for a request that can never be served.
    """

    path: str
    destination: Callable[..., Destination]
    pattern: re.Pattern[str]


def _endpoint(path: str, destination: Callable[..., Destination]) -> Endpoint:
    return Endpoint(path, destination, compile_path(path)[0])


def _native(node: Host, request: ClientRequest) -> Destination:
    """`/ws`."""
    name, codec = subprotocols.choose(request.scope.get("subprotocols", ()))
    wire_format = MSGPACK if codec.binary else JSON
    return Destination(partial(NativeSession, node, wire_format=wire_format), name)


def _plain(
    kind: type[RoomSession | NotifySession],
    namespace: str,
    node: Host,
    request: ClientRequest,
    name: str,
) -> Destination:
    channel = f"{namespace}:{name}"
    subprotocol, _ = subprotocols.choose(request.scope.get("subprotocols", ()), subprotocols.PLAIN)
    since, last = _start(request)
    node.namespaces.of(channel)  # raises for a channel of an unknown namespace
    session = partial(kind, node, channel=channel, since=since, last=last)
    return Destination(session, subprotocol, greets=kind is RoomSession)


def _start(request: ClientRequest) -> tuple[Position | None, int]:
    """`since` and `last` of a plain route. Raises `bad_request`."""
    query = request.query_params
    since = _since(query["since"]) if query.get("since") else None
    last = query.get("last") or "0"
    if not last.isascii() or not last.isdecimal() or len(last) > 4 or int(last) > MAX_LAST:  # noqa: PLR2004 - digits
        raise OpenlineError(Code.BAD_REQUEST, f"last is a number from 0 to {MAX_LAST}")
    if since is not None and int(last):
        raise OpenlineError(Code.BAD_REQUEST, "give since or last, not both")
    return since, int(last)


def _since(text: str) -> Position:
    try:
        return positions.parse(text)
    except OpenlineError as error:
        raise OpenlineError(error.code, f"since: {error.message}") from None


ENDPOINTS = (
    _endpoint("/ws", _native),
    _endpoint("/ws/rooms/{room}", partial(_plain, RoomSession, "room")),
    _endpoint("/ws/notify/{topic}", partial(_plain, NotifySession, "notify")),
)


def find(path: bytes) -> tuple[Endpoint, tuple[str, ...]] | None:
    """The endpoint of a raw path and its template's values; None also for a path that needs decoding."""
    if not path.isascii() or b"%" in path or b"#" in path:
        return None
    text = path.decode("ascii")
    for endpoint in ENDPOINTS:
        if match := endpoint.pattern.match(text):
            return endpoint, match.groups()
    return None
