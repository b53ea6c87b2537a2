"""WebSocket routes: the native protocol at /ws, and the plain routes for rooms and notifications."""

from __future__ import annotations

from functools import partial

import structlog
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from services.gateway.node.node import Node
from services.gateway.transports import endpoints
from services.gateway.transports.admission import Admission, Unverified
from services.gateway.transports.echo import echo_route
from services.gateway.transports.endpoints import ENDPOINTS, Endpoint
from services.gateway.transports.farewell import farewell
from services.gateway.transports.handshake_request import HandshakeRequest
from services.gateway.websocket import Acceptance, Request
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from services.kernel.http import middleware, problems

log = structlog.get_logger(__name__)


class WebSocketRoutes:
    """The routes on one node, and the fast accept that takes the simple handshakes off them."""

    def __init__(self, node: Node, origins: Origins, *, echo_max_bytes: int) -> None:
        self._node = node
        self._admission = Admission(node, origins)
        self._echo_max_bytes = echo_max_bytes

    def routes(self) -> list[BaseRoute]:
        """For the application."""
        return [
            *(WebSocketRoute(item.path, partial(self._handshake, item)) for item in ENDPOINTS),
            echo_route(self._echo_max_bytes, quota=self._node.quota),
            WebSocketRoute("/{path:path}", self._nowhere),
            *(Route(item.path, _upgrade_required, methods=["GET"]) for item in ENDPOINTS),
        ]

    def fast_accept(self, request: Request) -> Acceptance | None:
        """Accept a client for whom nothing is to be awaited; see FastAccept. Refusals are left to the routes."""
        asked = HandshakeRequest(request)
        found = endpoints.find(asked.path)
        if found is None or b"#" in request.target:
            return None
        endpoint, values = found
        try:
            decision = self._admission.admit(asked, endpoint, values=values)
        except OpenlineError:
            return None
        if isinstance(decision, Unverified):
            return None
        middleware.identify(asked.scope, asked.headers.get("x-request-id", ""))
        return decision

    async def _handshake(self, endpoint: Endpoint, websocket: WebSocket) -> None:
        try:
            decision = self._admission.admit(
                websocket, endpoint, values=websocket.path_params.values()
            )
            if isinstance(decision, Unverified):
                decision = await self._admission.verify(decision)
        except OpenlineError as error:
            await self._refuse(websocket, error)
        else:
            decision.complete(websocket.scope)

    async def _nowhere(self, websocket: WebSocket) -> None:
        known = ", ".join(endpoint.path for endpoint in ENDPOINTS)
        await self._refuse(
            websocket,
            OpenlineError(Code.BAD_REQUEST, f"there is no WebSocket at this path; known: {known}"),
        )

    async def _refuse(self, websocket: WebSocket, error: OpenlineError) -> None:
        self._node.metrics.refused("websocket", error.code.value, leaving=self._node.turns_away)
        log.debug("handshake_refused", code=error.code.value, reason=error.message)
        if error.code in _BEFORE_THE_UPGRADE:
            await websocket.send_denial_response(problems.response(error))
        else:
            farewell(error, websocket.scope["subprotocols"]).complete(websocket.scope)


_BEFORE_THE_UPGRADE = frozenset({Code.UNAUTHORIZED, Code.FORBIDDEN, Code.UNAVAILABLE})
"""A credential is refused by a status, and so is whom another gateway may take: a front door asks it then."""


async def _upgrade_required(_request: HTTPRequest) -> Response:
    error = OpenlineError(
        Code.BAD_REQUEST,
        "this path speaks WebSocket; connect with a WebSocket client, and let proxies pass Upgrade on",
    )
    return problems.response(error, status=426, headers={"upgrade": "websocket"})
