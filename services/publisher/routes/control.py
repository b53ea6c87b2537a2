"""Commanding the fleet: disconnecting, subscribing and unsubscribing users; and which gateways live and take clients."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.control import (
    DisconnectConnection,
    DisconnectUser,
    SubscribeUser,
    UnsubscribeUser,
)
from services.kernel.domain.limits import Limits
from services.kernel.domain.permissions import check_http
from services.kernel.domain.wording import cut
from services.kernel.http import bodies
from services.publisher.routes import answers, describe
from services.publisher.routes.callers import (
    Connection,
    Manager,
    Node,
    Parts,
    PartsOf,
    User,
    unlimited,
)
from services.publisher.routes.guard import MANAGE
from services.publisher.routes.models import Accepted, Disconnect, Drained, Nodes, Subscription

MAX_REASON = 123
"""Bytes of a close frame's reason (RFC 6455 section 5.5: 125 less the code)."""

_MAX_BODY = Limits().body_bytes
_REFUSALS = describe.refusals(400, 401, 403, 404, 413, 415, 429, 503)
_DISCONNECT = describe.body("Disconnect", required=False)
_SUBSCRIPTION = describe.body("Subscription")

UserCloser = Annotated[Claims, unlimited(MANAGE, "disconnecting a user")]
ConnectionCloser = Annotated[Claims, unlimited(MANAGE, "disconnecting a connection")]
Revoker = Annotated[Claims, unlimited(MANAGE, "revoking a user")]
Drainer = Annotated[Claims, unlimited(MANAGE, "draining a gateway")]
Lister = Annotated[Claims, unlimited(MANAGE, "listing the gateways")]

router = APIRouter(generate_unique_id_function=describe.operation_id)


@router.post(
    "/v1/users/{user:path}/disconnect",
    summary="Disconnect a user",
    status_code=202,
    responses=_REFUSALS,
    openapi_extra=_DISCONNECT,
)
async def disconnect_user(request: Request, of: PartsOf, _: UserCloser, user: User) -> Accepted:
    """Close every connection of a user, on every gateway."""
    how = await _how(request)
    await of.publisher.send_control(
        DisconnectUser(user=user, code=how.code, reason=cut(how.reason, MAX_REASON))
    )
    return Accepted()


@router.post(
    "/v1/users/{user:path}/revoke",
    summary="Revoke a user's tokens",
    status_code=202,
    responses=describe.refusals(400, 401, 403, 404, 429, 503),
)
async def revoke(of: PartsOf, _: Revoker, user: User) -> Accepted:
    """End every token that a user was given so far, of whatever issuer, and what was opened with them (4005).

    Refresh tokens of our own auth end as well. Answers in the next second: `iat` counts whole ones, so tokens issued
    from then on are good.
    """
    await of.publisher.revoke(user)
    return Accepted()


@router.post(
    "/v1/connections/{connection:path}/disconnect",
    summary="Close a connection",
    status_code=202,
    responses=_REFUSALS,
    openapi_extra=_DISCONNECT,
)
async def disconnect_connection(
    request: Request, of: PartsOf, _: ConnectionCloser, connection: Connection
) -> Accepted:
    """Close one connection, wherever it is."""
    how = await _how(request)
    await of.publisher.send_control(
        DisconnectConnection(
            connection=connection, code=how.code, reason=cut(how.reason, MAX_REASON)
        )
    )
    return Accepted()


@router.post(
    "/v1/users/{user:path}/subscribe",
    summary="Subscribe a user to a channel",
    status_code=202,
    responses=_REFUSALS,
    openapi_extra=_SUBSCRIPTION,
)
async def subscribe(request: Request, of: PartsOf, claims: Manager, user: User) -> Accepted:
    """Subscribe the connections that a user has now; each for as long as it lives."""
    channel = await _channel(request, of, claims)
    await of.publisher.send_control(SubscribeUser(user=user, channel=channel))
    return Accepted()


@router.post(
    "/v1/users/{user:path}/unsubscribe",
    summary="Unsubscribe a user from a channel",
    status_code=202,
    responses=_REFUSALS,
    openapi_extra=_SUBSCRIPTION,
)
async def unsubscribe(request: Request, of: PartsOf, claims: Manager, user: User) -> Accepted:
    """End a channel's subscription on the connections that a user has now."""
    channel = await _channel(request, of, claims)
    await of.publisher.send_control(UnsubscribeUser(user=user, channel=channel))
    return Accepted()


@router.get(
    "/v1/nodes",
    summary="List the gateways",
    response_model=Nodes,
    responses=describe.refusals(401, 403, 404, 429, 503),
)
async def nodes(of: PartsOf, _: Lister) -> Response:
    """Each living gateway as it told of itself within the last seconds."""
    return answers.raw(b'{"nodes":[%b]}' % b",".join(await of.publisher.nodes()))


@router.post(
    "/v1/nodes/{node:path}/drain",
    summary="Drain a gateway",
    status_code=202,
    responses=describe.refusals(401, 403, 404, 409, 429, 503),
)
async def drain(of: PartsOf, _: Drainer, node: Node) -> Drained:
    """Have a gateway take no more clients, and move those it has to the others.

    It tells them to reconnect, each at a moment of its own within as many seconds as the others need to take them, at least
    5, then closes those left with 4100 over as long again. `/readyz` answers 503 from then on. It stays drained until this is
    undone, or its process ends. Draining it again changes nothing.
    """
    return Drained(node=node, connections=await of.publisher.drain(node))


@router.delete(
    "/v1/nodes/{node:path}/drain",
    summary="Undo a drain",
    status_code=202,
    responses=describe.refusals(401, 403, 404, 429, 503),
)
async def undo_drain(of: PartsOf, _: Drainer, node: Node) -> Drained:
    """Have a gateway take clients again. Those that were told to move still do."""
    return Drained(node=node, connections=await of.publisher.undo_drain(node))


async def _how(request: Request) -> Disconnect:
    if not await request.body():
        return Disconnect()
    return await bodies.json(request, Disconnect, limit=_MAX_BODY)


async def _channel(request: Request, of: Parts, claims: Claims) -> str:
    body = await bodies.json(request, Subscription, limit=_MAX_BODY)
    channel = of.publisher.check_channel(body.channel)
    check_http(claims, channel, Action.SUBSCRIBE, scope=MANAGE)
    return channel
