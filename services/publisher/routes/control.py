"""Commanding the fleet: disconnecting, subscribing and unsubscribing users; and asking which gateways live."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.kernel.domain.capabilities import Action
from services.kernel.domain.codes import Close
from services.kernel.domain.control import (
    Control,
    DisconnectConnection,
    DisconnectUser,
    SubscribeUser,
    UnsubscribeUser,
)
from services.kernel.domain.permissions import check_http, check_unlimited
from services.publisher.routes import answers, bodies, reading
from services.publisher.routes.describe import CONNECTION, USER, Body, operation
from services.publisher.routes.guard import MANAGE, Calls

MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455 section 5.5: 125 less the code)."""

_DISCONNECT = reading.decoder(bodies.Disconnect)
_SUBSCRIPTION = reading.decoder(bodies.Subscription)
_REFUSALS = (400, 401, 403, 404, 413, 415, 429, 503)


class ControlRoutes(Calls):
    """Everything that needs scope `manage`, but for dropping a history."""

    def add_to(self, router: APIRouter) -> None:
        """Register the calls."""
        for path, call, parameter, body, summary in (
            ("users/{user:path}/disconnect", self.disconnect_user, USER, "Disconnect", "Disconnect a user"),
            ("connections/{connection:path}/disconnect", self.disconnect_connection, CONNECTION, "Disconnect", "Close a connection"),
            ("users/{user:path}/subscribe", self.subscribe, USER, "Subscription", "Subscribe a user to a channel"),
            ("users/{user:path}/unsubscribe", self.unsubscribe, USER, "Subscription", "Unsubscribe a user from a channel"),
        ):  # fmt: skip
            operation(
                router,
                "POST",
                f"/v1/{path}",
                call=call,
                summary=summary,
                parameters=(parameter,),
                bodies=(Body(body),),
                body_required=body != "Disconnect",
                success=(202, "Accepted"),
                refusals=_REFUSALS,
            )
        operation(
            router,
            "GET",
            "/v1/nodes",
            call=self.nodes,
            summary="List the gateways",
            success=(200, "Nodes"),
            refusals=(401, 403, 404, 429, 503),
        )

    async def disconnect_user(self, request: Request) -> Response:
        """Close every connection of a user, on every gateway."""
        how = await self._how(request, "user")
        return await self._tell(DisconnectUser(user=how.name, code=how.code, reason=how.reason))

    async def disconnect_connection(self, request: Request) -> Response:
        """Close one connection, wherever it is."""
        how = await self._how(request, "connection")
        return await self._tell(
            DisconnectConnection(connection=how.name, code=how.code, reason=how.reason)
        )

    async def subscribe(self, request: Request) -> Response:
        """Subscribe the connections that a user has now; each for as long as it lives."""
        user, channel = await self._whom_to_what(request)
        return await self._tell(SubscribeUser(user=user, channel=channel))

    async def unsubscribe(self, request: Request) -> Response:
        """End a channel's subscription on the connections that a user has now."""
        user, channel = await self._whom_to_what(request)
        return await self._tell(UnsubscribeUser(user=user, channel=channel))

    async def nodes(self, request: Request) -> Response:
        """Each living gateway as it told of itself within the last seconds."""
        claims = await self._guard.caller(request, MANAGE)
        check_unlimited(claims, "listing the gateways")
        nodes = await self._publisher.nodes()
        return answers.raw(b'{"nodes":[%b]}' % b",".join(nodes))

    async def _how(self, request: Request, parameter: str) -> _Closing:
        claims = await self._guard.caller(request, MANAGE)
        check_unlimited(claims, f"disconnecting a {parameter}")
        name = reading.subject(request, parameter)
        if await request.body():
            body = await reading.json(request, _DISCONNECT)
        else:
            body = bodies.Disconnect()
        code = Close.DISCONNECTED if body.code is msgspec.UNSET else body.code
        return _Closing(name, int(code), _cut(body.reason))

    async def _whom_to_what(self, request: Request) -> tuple[str, str]:
        claims = await self._guard.caller(request, MANAGE)
        user = reading.subject(request, "user")
        body = await reading.json(request, _SUBSCRIPTION)
        channel = self._publisher.check_channel(body.channel)
        check_http(claims, channel, Action.SUBSCRIBE, scope=MANAGE)
        return user, channel

    async def _tell(self, message: Control) -> Response:
        await self._publisher.tell(message)
        return answers.answer(bodies.Accepted(), answers.ACCEPTED)


class _Closing(NamedTuple):
    name: str
    code: int
    reason: str


def _cut(reason: str) -> str:
    """At most 123 bytes of it, whole characters."""
    return reason.encode()[:MAX_REASON].decode(errors="ignore")
