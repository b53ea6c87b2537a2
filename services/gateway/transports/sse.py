"""The route /sse: channels as Server-Sent Events, for browsers and other HTTP clients."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.gateway.node.node import Node
from services.gateway.session.sse import LIMIT_SECONDS, StreamSession
from services.gateway.transports import sse_refusal
from services.gateway.transports.admission import (
    check_address_limit,
    proxy_of,
    refuse_newcomers,
)
from services.gateway.transports.credentials import Later, identify
from services.gateway.transports.cross_origin import CrossOrigin, check_one_origin
from services.gateway.transports.sse_refusal import FINAL, HEADERS
from services.gateway.transports.sse_response import EventStream
from services.kernel.domain import permissions
from services.kernel.domain.capabilities import Action
from services.kernel.domain.channels import MAX_CHANNEL
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, Code, OpenlineError
from services.kernel.domain.origins import Origins
from services.kernel.domain.positions import Position
from services.kernel.domain.wording import cut
from services.kernel.http import addresses
from services.kernel.protocol import sse


class SseRoute:
    """The route on one node."""

    def __init__(self, node: Node, origins: Origins) -> None:
        self._node = node
        self._origins = origins
        self._cross_origin = CrossOrigin(origins)

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("/sse", self.stream, methods=["GET", "HEAD"]),
            Route("/sse", self._cross_origin.preflight, methods=["OPTIONS"]),
        ]

    async def stream(self, request: Request) -> Response:
        """`GET /sse`: a stream, or a refusal before it begins. `HEAD`: whether there would be one."""
        cors = self._cross_origin.headers(request)
        try:
            return await self._stream(request, cors)
        except OpenlineError as error:
            self._node.metrics.refused("sse", error.code.value, leaving=self._node.turns_away)
            return sse_refusal.response(error, request, cors)

    async def _stream(self, request: Request, cors: Mapping[str, str]) -> Response:
        refuse_newcomers(self._node)
        check_one_origin(request)
        who = await identify(request, self._node.tokens, self._origins)
        claims = None if isinstance(who, Later) else who
        at = _cursor(request)
        wanted, refused = self._channels(request, claims)
        if request.method == "HEAD":
            return _Headers({**HEADERS, **cors})
        address = addresses.client(request.scope)
        for channel in wanted:
            self._node.seek(address, channel)
        check_address_limit(self._node, address)
        self._node.metrics.handshakes.labels("sse", "accepted").inc()
        connection = EventStream(address, {**HEADERS, **cors})
        session = StreamSession(self._node, connection, wanted, at)
        self._node.quota.came(address, session)
        session.proxy = proxy_of(request.headers)
        connection.start(session)
        return _Stream(connection, session, claims=claims, refused=refused, cors=cors)

    def _channels(
        self, request: Request, claims: Claims | None
    ) -> tuple[list[str], list[OpenlineError]]:
        """The channels that the client may read, and why it may not read the others. Raises when there are none."""
        asked = list(dict.fromkeys(request.query_params.getlist("channel")))
        limit = self._node.limits.channels_per_connection
        if not asked:
            raise OpenlineError(Code.BAD_REQUEST, "name channels, as in /sse?channel=public:all")
        if len(asked) > limit:
            raise OpenlineError(Code.LIMIT_EXCEEDED, f"a stream has at most {limit} channels")
        if sse.longest_cursor(asked) > sse.MAX_CURSOR:
            # The cursor comes back in a header; one that is too long would end an EventSource for good.
            raise OpenlineError(
                Code.LIMIT_EXCEEDED,
                "the channels' names are too long together; use several streams",
            )
        wanted: list[str] = []
        refused: list[OpenlineError] = []
        for channel in asked:
            try:
                namespace = self._node.namespaces.of(channel)
                permissions.check(claims, namespace, channel, Action.SUBSCRIBE)
            except OpenlineError as error:
                refused.append(
                    OpenlineError(error.code, f"{cut(channel, MAX_CHANNEL)}: {error.message}")
                )
            else:
                wanted.append(channel)
        if not wanted:
            raise refused[0]
        return wanted, refused


class _Headers(Response):
    """The headers of a stream, without its length, which is not known (RFC 9110 section 9.3.2), and no body."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]


class _Stream(Response):
    """Opens the session when the response begins: a client that is gone by then is never subscribed."""

    def __init__(
        self,
        connection: EventStream,
        session: StreamSession,
        *,
        claims: Claims | None,
        refused: list[OpenlineError],
        cors: Mapping[str, str],
    ) -> None:
        super().__init__()
        self._connection = connection
        self._session = session
        self._claims = claims
        self._refused = refused
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        self._session.start(self._claims)
        if self._session.is_closed:
            answer = sse_refusal.response(self._why(), Request(scope), self._cors)
            await answer(scope, receive, send)
            return
        for error in self._refused:
            self._session.send(self._session.wire_format.error(None, error))
        await self._connection.respond(scope, receive, send)

    def _why(self) -> OpenlineError:
        """Why the session did not begin: its token was revoked meanwhile, or its user has too many connections."""
        if self._connection.code == Close.REVOKED:
            return OpenlineError(Code.UNAUTHORIZED, self._connection.reason)
        return OpenlineError(Code.RATE_LIMITED, self._connection.reason, retry_after=LIMIT_SECONDS)


def _cursor(request: Request) -> dict[str, Position]:
    """Where the stream was: `Last-Event-ID` of a reconnecting EventSource, else `cursor`."""
    last = request.headers.get("last-event-id")
    cursor = request.query_params.get("cursor") if last in (None, "", FINAL) else last
    return sse.decode_cursor(cursor) if cursor else {}
