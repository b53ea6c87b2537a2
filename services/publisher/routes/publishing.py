"""Publishing to channels: one message, many messages, one message to many channels; from bytes to bytes."""

from __future__ import annotations

from services.kernel.domain import channels
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.permissions import check_http
from services.kernel.domain.publications import Kind
from services.kernel.http.bodies import JSON, unsupported
from services.publisher.routes import answers, bodies, reading
from services.publisher.routes.guard import PUBLISH, Guard
from services.publisher.routes.models import PublishQuery
from services.publisher.routes.reading import BareRequest
from services.publisher.service import Message, Publisher

_PUBLISH = reading.decoder(bodies.Publish)
_BATCH = reading.decoder(bodies.Batch)
_BROADCAST = reading.decoder(bodies.Broadcast)
_NO_QUERY = PublishQuery()


class Publishing:
    """The calls that publish, past FastAPI's reading of requests: the fast path runs them, too."""

    def __init__(self, publisher: Publisher, guard: Guard) -> None:
        self._publisher = publisher
        self._guard = guard

    async def publish(self, request: BareRequest, channel: str) -> bytes:
        """Publish what was sent to a channel: the answer's body."""
        claims = await self._guard.bearer(request.authorization, PUBLISH, request.scope)
        return await self._publish(request, claims, self._publisher.check_channel(channel))

    async def publish_to_user(self, request: BareRequest, user: str) -> bytes:
        """Publish what was sent to a user: the answer's body."""
        claims = await self._guard.bearer(request.authorization, PUBLISH, request.scope)
        channel = channels.personal(reading.checked_subject(user, "user"))
        return await self._publish(request, claims, self._publisher.check_channel(channel))

    async def _publish(self, request: BareRequest, claims: Claims, channel: str) -> bytes:
        check_http(claims, channel, Action.PUBLISH, scope=PUBLISH)
        message = await _message(request, channel)
        self._guard.count_bytes(claims, len(message.data))
        stored = await self._publisher.publish(message, subject=claims.sub)
        return answers.published(channel, stored)

    async def publish_batch(self, request: BareRequest, _: str) -> bytes:
        """Publish all messages that were sent: the answer's body."""
        claims = await self._guard.bearer(request.authorization, PUBLISH, request.scope)
        if request.media_type != JSON:
            raise unsupported(JSON)
        reading.refuse_key(request, "give each message of a batch its own key")
        items = reading.decode(await request.body(), _BATCH).messages
        _check_count("messages", len(items))
        self._guard.count(claims, len(items))
        self._guard.count_bytes(claims, sum(len(bytes(item.data)) for item in items))
        messages = [_allowed(claims, _from_body(item.channel, item)) for item in items]
        outcomes = await self._publisher.publish_all(messages, subject=claims.sub)
        return answers.results([item.channel for item in items], outcomes)

    async def broadcast(self, request: BareRequest, claims: Claims) -> bytes:
        """Publish one message in each of the channels of a body: the answer's body."""
        if request.media_type != JSON:
            raise unsupported(JSON)
        header = reading.idempotency_key(request)
        body = reading.decode(await request.body(), _BROADCAST)
        _check_count("channels", len(body.channels))
        self._guard.count(claims, len(body.channels))
        data = self._publisher.check_data(bytes(body.data))
        self._guard.count_bytes(claims, len(data) * len(body.channels))
        messages = [
            _allowed(
                claims,
                Message(
                    channel=channel,
                    data=data,
                    key=body.key or header,
                    conflate_key=body.conflate_key,
                    tags=body.tags,
                    ephemeral=body.ephemeral,
                ),
            )
            for channel in body.channels
        ]
        outcomes = await self._publisher.publish_all(messages, subject=claims.sub)
        return answers.results(body.channels, outcomes)


async def _message(request: BareRequest, channel: str) -> Message:
    kind = request.media_type
    if kind not in (JSON, reading.OCTETS):
        raise unsupported(JSON, reading.OCTETS)
    query = _NO_QUERY
    if request.scope["query_string"]:
        query = PublishQuery.model_validate(reading.query(request.scope, PublishQuery))
    header = reading.idempotency_key(request)
    raw = await request.body()
    if kind == reading.OCTETS:
        return Message(
            channel=channel,
            data=raw,
            kind=Kind.BINARY,
            key=query.key or header,
            conflate_key=query.conflate_key,
            ephemeral=query.ephemeral,
        )
    body = reading.decode(raw, _PUBLISH)
    return _from_body(channel, body, query, key=query.key or header)


def _from_body(
    channel: str, body: bodies.Publish, query: PublishQuery = _NO_QUERY, *, key: str | None = None
) -> Message:
    """What the body says counts before what stands beside it."""
    return Message(
        channel=channel,
        data=bytes(body.data),
        key=body.key or key,
        conflate_key=body.conflate_key or query.conflate_key,
        tags=body.tags,
        ephemeral=body.ephemeral or query.ephemeral,
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
