"""Publishing: to a channel, to a user, many messages at once, one message to many channels, to one connection."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.kernel.domain import channels
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.permissions import check_http, check_unlimited
from services.kernel.domain.publications import Kind
from services.publisher.routes import answers, bodies, reading
from services.publisher.routes.describe import (
    CHANNEL,
    CONNECTION,
    EPHEMERAL,
    KEY,
    USER,
    Body,
    operation,
)
from services.publisher.routes.guard import PUBLISH, Calls
from services.publisher.routes.reading import BareRequest
from services.publisher.service import Message

_PUBLISH = reading.decoder(bodies.Publish)
_BATCH = reading.decoder(bodies.Batch)
_BROADCAST = reading.decoder(bodies.Broadcast)
_DIRECT = reading.decoder(bodies.DirectMessage)
_KEY = re.compile(r"[^\x00-\x1f\x7f]{1,128}\Z")

_REFUSALS = (400, 401, 403, 404, 409, 413, 415, 422, 429, 503)


class MessageRoutes(Calls):
    """Everything that needs scope `publish`, but for notifications."""

    def add_to(self, router: APIRouter) -> None:
        """Register the calls."""
        one = (Body("Publish"), Body(media_type=reading.OCTETS))
        for path, call, parameter, noun in (
            ("/v1/channels/{channel:path}/messages", self.to_channel, CHANNEL, "channel"),
            ("/v1/users/{user:path}/messages", self.to_user, USER, "user"),
        ):
            operation(
                router,
                "POST",
                path,
                call=call,
                summary=f"Publish a message to a {noun}",
                parameters=(parameter, KEY, EPHEMERAL),
                bodies=one,
                success=(201, "Published"),
                refusals=_REFUSALS,
            )
        operation(
            router,
            "POST",
            "/v1/messages",
            call=self.batch,
            summary="Publish up to 1000 messages",
            bodies=(Body("Batch"),),
            success=(200, "Results"),
            refusals=(400, 401, 403, 413, 415, 422, 429, 503),
        )
        operation(
            router,
            "POST",
            "/v1/broadcast",
            call=self.broadcast,
            summary="Publish one message to up to 1000 channels",
            bodies=(Body("Broadcast"),),
            success=(200, "Results"),
            refusals=(400, 401, 403, 413, 415, 422, 429, 503),
        )
        operation(
            router,
            "POST",
            "/v1/connections/{connection:path}/messages",
            call=self.to_connection,
            summary="Send a message to one connection",
            parameters=(CONNECTION,),
            bodies=(Body("DirectMessage"),),
            success=(202, "Accepted"),
            refusals=(400, 401, 403, 404, 413, 415, 422, 429, 503),
        )

    async def to_channel(self, request: Request) -> Response:
        """Store a message in a channel's history and bring it to every subscriber."""
        bare = BareRequest(request.scope, request.receive)
        body = await self.publish(bare, request.path_params["channel"])
        return answers.raw(body, answers.CREATED)

    async def to_user(self, request: Request) -> Response:
        """Publish to `user:{user}`, the channel that each of the user's connections is subscribed to."""
        bare = BareRequest(request.scope, request.receive)
        body = await self.publish_to_user(bare, request.path_params["user"])
        return answers.raw(body, answers.CREATED)

    async def publish(self, request: BareRequest, channel: str) -> bytes:
        """Publish what was sent to a channel: the answer's body."""
        claims = await self._guard.bearer(request.authorization, PUBLISH)
        return await self._publish(request, claims, self._publisher.check_channel(channel))

    async def publish_to_user(self, request: BareRequest, user: str) -> bytes:
        """Publish what was sent to a user: the answer's body."""
        claims = await self._guard.bearer(request.authorization, PUBLISH)
        channel = channels.personal(reading.checked_subject(user, "user"))
        return await self._publish(request, claims, self._publisher.check_channel(channel))

    async def _publish(self, request: BareRequest, claims: Claims, channel: str) -> bytes:
        check_http(claims, channel, Action.PUBLISH, scope=PUBLISH)
        message = await _message(request, channel)
        stored = await self._publisher.publish(message, subject=claims.sub)
        return answers.published(channel, stored)

    async def batch(self, request: Request) -> Response:
        """Publish messages in their order; each may fail alone, and its result says so."""
        return answers.raw(
            await self.publish_batch(BareRequest(request.scope, request.receive), "")
        )

    async def publish_batch(self, request: BareRequest, _: str) -> bytes:
        """Publish all messages that were sent: the answer's body."""
        claims = await self._guard.bearer(request.authorization, PUBLISH)
        if request.media_type != reading.JSON:
            raise reading.unsupported(reading.JSON)
        items = reading.decode(await request.body(), _BATCH).messages
        _check_count("messages", len(items))
        self._guard.count(claims, len(items))
        messages = [_allowed(claims, _from_body(item.channel, item)) for item in items]
        outcomes = await self._publisher.publish_all(messages, subject=claims.sub)
        return answers.results([item.channel for item in items], outcomes)

    async def broadcast(self, request: Request) -> Response:
        """Publish one message in each of the channels; each may fail alone, and its result says so."""
        claims = await self._guard.caller(request, PUBLISH)
        body = await reading.json(request, _BROADCAST)
        _check_count("channels", len(body.channels))
        self._guard.count(claims, len(body.channels))
        data = self._publisher.check_data(bytes(body.data))
        messages = [
            _allowed(
                claims,
                Message(
                    channel=channel,
                    data=data,
                    key=body.key,
                    tags=body.tags,
                    ephemeral=body.ephemeral,
                ),
            )
            for channel in body.channels
        ]
        outcomes = await self._publisher.publish_all(messages, subject=claims.sub)
        return answers.raw(answers.results(body.channels, outcomes))

    async def to_connection(self, request: Request) -> Response:
        """Send a `direct` message to one connection, wherever it is; at most once, kept nowhere."""
        claims = await self._guard.caller(request, PUBLISH)
        check_unlimited(claims, "writing to a connection directly")
        connection = reading.subject(request, "connection")
        body = await reading.json(request, _DIRECT)
        await self._publisher.direct(connection, bytes(body.data))
        return answers.answer(bodies.Accepted(), answers.ACCEPTED)


async def _message(request: BareRequest, channel: str) -> Message:
    kind = request.media_type
    if kind not in (reading.JSON, reading.OCTETS):
        raise reading.unsupported(reading.JSON, reading.OCTETS)
    key, ephemeral = _query(request) if request.scope["query_string"] else (None, False)
    raw = await request.body()
    if kind == reading.OCTETS:
        return Message(channel=channel, data=raw, kind=Kind.BINARY, key=key, ephemeral=ephemeral)
    body = reading.decode(raw, _PUBLISH)
    return _from_body(channel, body, key=key, ephemeral=ephemeral)


def _query(request: BareRequest) -> tuple[str | None, bool]:
    query = reading.Query(request)
    key = query.matching("key", _KEY, expected="1-128 characters without control characters")
    return key, bool(query.flag("ephemeral"))


def _from_body(
    channel: str, body: bodies.Publish, *, key: str | None = None, ephemeral: bool = False
) -> Message:
    """`key` and `ephemeral` are those of the query: the body's own count before them."""
    return Message(
        channel=channel,
        data=bytes(body.data),
        key=body.key or key,
        tags=body.tags,
        ephemeral=body.ephemeral or ephemeral,
        expect=None if body.expect is None else body.expect.checked(),
    )


def _allowed(claims: Claims, message: Message) -> Message | OpenlineError:
    try:
        check_http(claims, message.channel, Action.PUBLISH, scope=PUBLISH)
    except OpenlineError as error:
        return error
    return message


def _check_count(what: str, count: int) -> None:
    if count > bodies.MAX_BATCH:
        raise OpenlineError(
            Code.LIMIT_EXCEEDED, f"{count} {what}; at most {bodies.MAX_BATCH} in one call"
        )
