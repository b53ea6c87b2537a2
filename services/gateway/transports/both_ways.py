"""The native protocol over HTTP: `POST /sse` opens a stream, `POST /sse/{connection}` brings it more commands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.gateway.node.node import Node
from services.gateway.session.streamed import StreamedSession, digest_of
from services.gateway.transports.admission import (
    check_address_limit,
    proxy_of,
    refuse_newcomers,
)
from services.gateway.transports.credentials import LATER, Later, identify
from services.gateway.transports.cross_origin import CrossOrigin, check_one_origin
from services.gateway.transports.sse_refusal import HEADERS
from services.gateway.transports.sse_response import EventStream
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from services.kernel.http import addresses, problems
from services.kernel.http import bodies as http_bodies
from services.kernel.protocol import bodies
from services.kernel.protocol.bodies import MAX_BODY, Beginning, Body, Following

_CONNECTION = re.compile(r"[0-9a-f]{16}\Z")
_GONE = OpenlineError(Code.BAD_REQUEST, "no such connection: open another stream by POST /sse")


class BothWaysRoute:
    """The routes on one node."""

    def __init__(self, node: Node, origins: Origins) -> None:
        self._node = node
        self._origins = origins
        self._cross_origin = CrossOrigin(origins)

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/sse", self.stream, methods=["POST"]),
            Route("/sse/{connection}", self.commands, methods=["POST"]),
            Route("/sse/{connection}", self._cross_origin.preflight, methods=["OPTIONS"]),
        ]

    async def stream(self, request: Request) -> Response:
        """`POST /sse`: a stream, or a refusal before it begins."""
        cors = self._cross_origin.headers(request)
        try:
            return await self._stream(request, cors)
        except OpenlineError as error:
            self._node.metrics.refused("http", error.code.value, leaving=self._node.turns_away)
            return problems.response(error, headers=cors)
        except HTTPException as error:
            return _other(error, cors)

    async def _stream(self, request: Request, cors: Mapping[str, str]) -> Response:
        refuse_newcomers(self._node)
        check_one_origin(request)
        beginning = await _read(request, Beginning)
        who = await identify(request, self._node.tokens, self._origins)
        if who is LATER and not beginning.commands:
            raise OpenlineError(Code.UNAUTHORIZED, "bring a token, or begin the commands with auth")
        address = addresses.client(request.scope)
        check_address_limit(self._node, address)
        self._node.metrics.handshakes.labels("http", "accepted").inc()
        connection = EventStream(address, {**HEADERS, **cors})
        session = StreamedSession(self._node, connection)
        self._node.quota.came(address, session)
        session.proxy = proxy_of(request.headers)
        connection.start(session)
        return _Stream(connection, session, who=who, commands=beginning.commands)

    async def commands(self, request: Request) -> Response:
        """`POST /sse/{connection}`: 202 when the connection has the commands, wherever it is."""
        cors = self._cross_origin.headers(request)
        try:
            check_one_origin(request)
            following = await _read(request, Following)
            found = await self._hand_over(request, following)
        except OpenlineError as error:
            return problems.response(error, headers=cors)
        except HTTPException as error:
            return _other(error, cors)
        if not found:
            return problems.response(_GONE, status=HTTPStatus.NOT_FOUND, headers=cors)
        return JSONResponse({}, status_code=HTTPStatus.ACCEPTED, headers=cors)

    async def _hand_over(self, request: Request, following: Following) -> bool:
        """To the stream here, or by the bus; False when there is none."""
        connection, digest = request.path_params["connection"], digest_of(following.secret)
        if not _CONNECTION.match(connection):
            return False
        session = self._node.relay.here(connection)
        if session is not None:
            session.deliver(bodies.texts(following.commands), digest=digest)
            return True
        if self._node.session(connection) is not None:
            return False  # a WebSocket, which nobody sends commands for but itself
        size = sum(len(bytes(command)) for command in following.commands)
        address = addresses.client(request.scope)
        self._node.quota.relay(address, connection, self._node.now(), size=size)
        found = await self._node.relay.send(connection, digest, following.commands)
        if not found and (self._node.buses.stalled() or self._node.buses.unavailable()):
            raise OpenlineError(
                Code.UNAVAILABLE, "the other gateways cannot be heard now", retry_after=1
            )
        return found


class _Stream(Response):
    """Begins the session when the response begins: a client that is gone by then is never subscribed."""

    def __init__(
        self,
        connection: EventStream,
        session: StreamedSession,
        *,
        who: Claims | Later | None,
        commands: Sequence[msgspec.Raw],
    ) -> None:
        super().__init__()
        self._connection = connection
        self._session = session
        self._who = who
        self._commands = bodies.texts(commands)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if isinstance(self._who, Later):
            self._session.schedule()
        else:
            self._session.start(self._who)
        self._session.take(self._commands)
        await self._connection.respond(scope, receive, send)


async def _read(request: Request, form: type[Body]) -> Body:
    """The body. Raises 415 for another type, `too_large`, `bad_request`."""
    if http_bodies.media_type(request) != http_bodies.JSON:
        raise http_bodies.unsupported(http_bodies.JSON)
    return bodies.read(await http_bodies.read(request, limit=MAX_BODY), form)


def _other(error: HTTPException, cors: Mapping[str, str]) -> Response:
    """A refusal that only HTTP has a word for."""
    refusal = OpenlineError(Code.BAD_REQUEST, str(error.detail))
    return problems.response(refusal, status=error.status_code, headers=cors)
