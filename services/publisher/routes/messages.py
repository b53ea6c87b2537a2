"""Publishing: to a channel, to a user, many messages at once, one message to many channels, to one connection."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from services.kernel.domain.claims import Claims
from services.kernel.http.bodies import JSON, unsupported
from services.publisher.routes import answers, bodies, describe, reading
from services.publisher.routes.callers import (
    AnyUser,
    Channel,
    Connection,
    Documented,
    PartsOf,
    Sender,
    unlimited,
)
from services.publisher.routes.guard import PUBLISH
from services.publisher.routes.models import Accepted, PublishQuery
from services.publisher.routes.reading import BareRequest

_DIRECT = reading.decoder(bodies.DirectMessage)
_MANY = (400, 401, 403, 413, 415, 422, 429, 503)
_ONE = (*_MANY, 404, 409)
_PUBLISH = {
    **describe.parameters(PublishQuery, key=True),
    **describe.body("Publish", octets=True),
}

Writer = Annotated[Claims, unlimited(PUBLISH, "writing to a connection directly")]

router = APIRouter(generate_unique_id_function=describe.operation_id)


@router.post(
    "/v1/channels/{channel:path}/messages",
    summary="Publish a message to a channel",
    status_code=201,
    response_class=Response,
    responses={201: describe.answer("Published"), **describe.refusals(*_ONE)},
    openapi_extra=_PUBLISH,
    dependencies=[Documented],
)
async def to_channel(request: Request, of: PartsOf, channel: Channel) -> Response:
    """Store a message in a channel's history and bring it to every subscriber."""
    bare = BareRequest(request.scope, request.receive)
    return answers.raw(await of.publishing.publish(bare, channel), answers.CREATED)


@router.post(
    "/v1/users/{user:path}/messages",
    summary="Publish a message to a user",
    status_code=201,
    response_class=Response,
    responses={201: describe.answer("Published"), **describe.refusals(*_ONE)},
    openapi_extra=_PUBLISH,
    dependencies=[Documented],
)
async def to_user(request: Request, of: PartsOf, user: AnyUser) -> Response:
    """Publish to `user:{user}`, the channel that each of the user's connections is subscribed to."""
    bare = BareRequest(request.scope, request.receive)
    return answers.raw(await of.publishing.publish_to_user(bare, user), answers.CREATED)


@router.post(
    "/v1/messages",
    summary="Publish up to 1000 messages",
    response_class=Response,
    responses={200: describe.answer("Results"), **describe.refusals(*_MANY)},
    openapi_extra=describe.body("Batch"),
    dependencies=[Documented],
)
async def batch(request: Request, of: PartsOf) -> Response:
    """Publish messages in their order; each may fail alone, and its result says so."""
    bare = BareRequest(request.scope, request.receive)
    return answers.raw(await of.publishing.publish_batch(bare, ""))


@router.post(
    "/v1/broadcast",
    summary="Publish one message to up to 1000 channels",
    response_class=Response,
    responses={200: describe.answer("Results"), **describe.refusals(*_MANY)},
    openapi_extra={**describe.parameters(key=True), **describe.body("Broadcast")},
)
async def broadcast(request: Request, of: PartsOf, claims: Sender) -> Response:
    """Publish one message in each of the channels; each may fail alone, and its result says so."""
    bare = BareRequest(request.scope, request.receive)
    return answers.raw(await of.publishing.broadcast(bare, claims))


@router.post(
    "/v1/connections/{connection:path}/messages",
    summary="Send a message to one connection",
    status_code=202,
    responses=describe.refusals(*_MANY, 404),
    openapi_extra=describe.body("DirectMessage"),
)
async def to_connection(
    request: Request, of: PartsOf, claims: Writer, connection: Connection
) -> Accepted:
    """Send a `direct` message to one connection, wherever it is; at most once, kept nowhere."""
    bare = BareRequest(request.scope, request.receive)
    if bare.media_type != JSON:
        raise unsupported(JSON)
    reading.refuse_key(bare, "a direct message is sent at most once, and has no key")
    body = reading.decode(await bare.body(), _DIRECT)
    of.guard.count_bytes(claims, len(bytes(body.data)))
    await of.publisher.direct(connection, bytes(body.data))
    return Accepted()
