"""Publishing to channels: one message, many messages, one message to many channels; from bytes to bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from services.kernel.broker.port import Outcome
from services.kernel.domain import channels
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.permissions import check_http
from services.kernel.domain.publications import Kind
from services.kernel.http import bearer
from services.kernel.http.bodies import JSON, unsupported
from services.kernel.tokens.verifier import digest
from services.publisher.routes import answers, bodies, reading
from services.publisher.routes.guard import PUBLISH, Guard
from services.publisher.routes.models import PublishQuery
from services.publisher.routes.reading import BareRequest
from services.publisher.service import Message, Publisher

_PUBLISH = reading.decoder(bodies.Publish)
_BATCH = reading.decoder(bodies.Batch)
_BROADCAST = reading.decoder(bodies.Broadcast)
_NO_QUERY = PublishQuery()

Told = Callable[[bytes | OpenlineError], None]
"""Gets the body of an answer, or what refused the call, once."""


class Publishing:
    """The calls that publish, past FastAPI's reading of requests: the fast path runs them, too."""

    def __init__(self, publisher: Publisher, guard: Guard) -> None:
        self._publisher = publisher
        self._guard = guard

    async def publish(self, request: BareRequest, channel: str) -> bytes:
        """Publish what was sent to a channel: the answer's body."""
        return await self._publish(request, channel, self.channel)

    async def publish_to_user(self, request: BareRequest, user: str) -> bytes:
        """Publish what was sent to a user: the answer's body."""
        return await self._publish(request, user, self.personal)

    def shared(self, request: BareRequest) -> Shared | None:
        """What all publishes with these headers, and no query, have in common; None where such headers are refused."""
        if request.media_type not in (JSON, reading.OCTETS):
            return None
        try:
            return Shared(_head(request), digest(bearer.token(request.authorization)))
        except OpenlineError:
            return None

    def begin(
        self, shared: Shared, name: str, to: Callable[[str], str], *, raw: bytes, done: Told
    ) -> bool:
        """Publish without waiting to the channel of `name`, which is `to`'s to tell: `channel` or `personal`.

        False where it has to wait. Raises OpenlineError.
        """
        claims = self._guard.known(shared.digest, PUBLISH)
        if claims is None:
            return False
        channel = to(name)
        check_http(claims, channel, Action.PUBLISH, scope=PUBLISH)
        message = shared.head.message(channel, raw)
        self._guard.count_bytes(claims, len(message.data))
        self._publisher.begin(message, subject=claims.sub, done=partial(_tell, done, channel))
        return True

    def channel(self, name: str) -> str:
        """The channel of this name. Raises `bad_request` or `unknown_namespace`."""
        return self._publisher.check_channel(name)

    def personal(self, user: str) -> str:
        """A user's own channel. Raises `bad_request` or `unknown_namespace`."""
        return self._publisher.check_channel(
            channels.personal(reading.checked_subject(user, "user"))
        )

    async def _publish(self, request: BareRequest, name: str, to: Callable[[str], str]) -> bytes:
        claims = await self._guard.bearer(request.authorization, PUBLISH, request.scope)
        channel = to(name)
        check_http(claims, channel, Action.PUBLISH, scope=PUBLISH)
        head = _head(request)
        message = head.message(channel, await request.body())
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


class _Head(NamedTuple):
    """What stands around the body of a publish: its media type, the query, the key of the headers or the query."""

    kind: str
    query: PublishQuery
    key: str | None

    def message(self, channel: str, raw: bytes) -> Message:
        """The message that a body stands for. Raises `bad_request` or `invalid_data`."""
        if self.kind == reading.OCTETS:
            return Message(
                channel=channel,
                data=raw,
                kind=Kind.BINARY,
                key=self.key,
                conflate_key=self.query.conflate_key,
                ephemeral=self.query.ephemeral,
            )
        return _from_body(channel, reading.decode(raw, _PUBLISH), self.query, key=self.key)


class Shared(NamedTuple):
    """What publishes with the same headers share: `digest` is their token's."""

    head: _Head
    digest: bytes


def _head(request: BareRequest) -> _Head:
    """Raises `bad_request`, or `unsupported` for another media type: before the body is read."""
    kind = request.media_type
    if kind not in (JSON, reading.OCTETS):
        raise unsupported(JSON, reading.OCTETS)
    query = _NO_QUERY
    if request.scope.get("query_string"):
        query = PublishQuery.model_validate(reading.query(request.scope, PublishQuery))
    header = reading.idempotency_key(request)
    return _Head(kind, query, query.key or header)


def _tell(done: Told, channel: str, outcome: Outcome) -> None:
    if isinstance(outcome, OpenlineError):
        done(outcome)
    else:
        done(answers.published(channel, outcome))


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
