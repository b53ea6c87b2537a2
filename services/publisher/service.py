"""What the HTTP API does, without HTTP: checks messages against their namespaces and hands them to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any

import msgspec

from services.kernel.broker.drafts import check_size, check_written, compose
from services.kernel.broker.port import (
    Broker,
    ChannelPage,
    Done,
    Draft,
    History,
    Members,
    Outcome,
    Published,
)
from services.kernel.broker.publish_queue import PublishQueue
from services.kernel.domain import control, data
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.control import Control, Direct, DrainNode, Revoke, UndoDrain
from services.kernel.domain.namespaces import Namespace, Namespaces
from services.kernel.domain.nearest import shown
from services.kernel.domain.peers import Peer, moving_seconds, peers, takers
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind
from services.kernel.domain.schemas import Schemas
from services.kernel.domain.wording import cut
from services.kernel.redis.futures import settle
from services.kernel.tokens import revocations
from services.kernel.tokens.revocations import LONGEST_TOKEN, Revocation, Revocations
from services.publisher import metrics

PAGE = 1000
"""Members or channels on a page."""

DIRECT = Namespace(name="direct")
"""A direct message belongs to no channel; it may be as large as a message is by default."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to publish, as it came. `data` is JSON text or, for BINARY, the bytes themselves."""

    channel: str
    data: bytes
    kind: Kind = Kind.JSON
    key: str | None = None
    conflate_key: str | None = None
    tags: Mapping[str, str] | None = None
    ephemeral: bool = False
    expect: Position | None = None


Check = Callable[[Namespace, Message], bytes]
"""Data in the form in which it is stored. Raises OpenlineError."""


class Publisher:
    """The API's calls. `clock` tells seconds since 1970."""

    def __init__(
        self,
        broker: Broker,
        *,
        namespaces: Namespaces,
        schemas: Schemas,
        revocations: Revocations | None = None,
        longest_token: float = LONGEST_TOKEN,
        clock: Callable[[], float],
    ) -> None:
        self._revocations = revocations
        self._longest_token = longest_token
        self._broker = broker
        self._publish_queue = PublishQueue(broker)
        self._namespaces = namespaces
        self._widest = max(
            namespaces, key=lambda namespace: namespace.message_bytes, default=DIRECT
        )
        self._names = frozenset(namespace.name for namespace in namespaces)
        self._schemas = schemas
        self._clock = clock

    def check_channel(self, channel: object) -> str:
        """The channel's name. Raises `bad_request` or `unknown_namespace`."""
        self._namespaces.of(channel)
        return str(channel)

    def check_data(self, raw: bytes) -> bytes:
        """Data for several channels, as it is stored. Raises `invalid_data`, or `too_large` when it is for all."""
        check_written(self._widest, len(raw))
        return data.check_json(raw)

    async def publish(self, message: Message, *, subject: str) -> Published:
        """Publish one message on behalf of `subject`. Raises what refused it."""
        stored: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.begin(message, subject=subject, done=partial(settle, stored))
        outcome = await stored
        if isinstance(outcome, OpenlineError):
            raise outcome
        return outcome

    def begin(self, message: Message, *, subject: str, done: Done) -> None:
        """The same without waiting: `done` gets what became of it. Raises what refuses it at once."""
        draft = self._draft(message, subject, int(self._clock() * 1000), self._check)
        if isinstance(draft, OpenlineError):
            metrics.published((*self._series(message, draft), None))
            raise draft
        self._publish_queue.publish(draft, partial(self._stored, message, perf_counter(), done))

    def _stored(self, message: Message, begun: float, done: Done, outcome: Outcome) -> None:
        metrics.published((*self._series(message, outcome), perf_counter() - begun))
        done(outcome)

    async def publish_all(
        self, messages: Sequence[Message | OpenlineError], *, subject: str
    ) -> list[Outcome]:
        """Publish in order; each has an outcome of its own. What was refused before stays refused."""
        checked, now = _Checked(self._check).data, self._now_ms()
        drafts = [
            message
            if isinstance(message, OpenlineError)
            else self._draft(message, subject, now, checked)
            for message in messages
        ]
        accepted = [draft for draft in drafts if isinstance(draft, Draft)]
        stored: list[Outcome] = []
        if accepted:
            begun = perf_counter()
            stored = await self._store(accepted)
            metrics.PUBLISH_SECONDS.observe(perf_counter() - begun)
        outcomes = stored
        if len(accepted) < len(drafts):
            left = iter(stored)
            outcomes = [next(left) if isinstance(draft, Draft) else draft for draft in drafts]
        self._count(messages, outcomes)
        return outcomes

    async def _store(self, drafts: Sequence[Draft]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        outcomes: list[asyncio.Future[Outcome]] = []
        for draft in drafts:
            outcome: asyncio.Future[Outcome] = loop.create_future()
            outcomes.append(outcome)
            self._publish_queue.publish(draft, partial(settle, outcome))
        return [await outcome for outcome in outcomes]

    def _draft(
        self, message: Message, subject: str, now: int, checked: Check
    ) -> Draft | OpenlineError:
        try:
            namespace = self._namespaces.of(message.channel)
            content = checked(namespace, message)
        except OpenlineError as error:
            return error
        return compose(
            namespace,
            message.channel,
            data=content,
            kind=message.kind,
            ts_ms=now,
            http=True,
            subject=subject,
            key=message.key,
            conflate_key=message.conflate_key,
            tags=message.tags,
            ephemeral=message.ephemeral,
            expect=message.expect,
        )

    def _check(self, namespace: Namespace, message: Message) -> bytes:
        """The data in the form in which it is stored. Raises `invalid_data` or `too_large`."""
        content = message.data
        if message.kind is not Kind.BINARY:
            check_written(namespace, len(content))
            content = data.check_json(content)
        check_size(namespace, len(content))
        self._schemas.check(namespace, content, message.kind)
        return content

    def _count(
        self, messages: Sequence[Message | OpenlineError], outcomes: Sequence[Outcome]
    ) -> None:
        numbers: dict[tuple[str, str], int] = {}
        for message, outcome in zip(messages, outcomes, strict=True):
            which = self._series(message, outcome)
            numbers[which] = numbers.get(which, 0) + 1
        for which, number in numbers.items():
            metrics.publications(*which).inc(number)

    def _series(self, message: Message | OpenlineError, outcome: Outcome) -> tuple[str, str]:
        """Namespace and outcome, as the metrics call them."""
        prefix = message.channel.partition(":")[0] if isinstance(message, Message) else ""
        if isinstance(outcome, OpenlineError):
            what = outcome.code.value
        elif outcome.duplicate:
            what = "duplicate"
        else:
            what = "ephemeral" if isinstance(message, Message) and message.ephemeral else "stored"
        return prefix if prefix in self._names else "unknown", what

    async def notify(
        self, topic: str, fields: Mapping[str, Any], *, subject: str, key: str | None = None
    ) -> Published:
        """Publish a notification: an object of JSON values, msgspec.Raw among them; `type` and `timestamp` are added."""
        whole = {
            "type": "notification",
            "timestamp": _iso(self._clock()),
            **fields,
        }
        message = Message(channel=f"notify:{topic}", data=msgspec.json.encode(whole), key=key)
        return await self.publish(message, subject=subject)

    async def history(
        self, channel: str, *, since: Position | None, limit: int, reverse: bool
    ) -> History:
        """A page of a channel's history."""
        return await self._broker.history(channel, since=since, limit=limit, reverse=reverse)

    async def drop(self, channel: str) -> Position:
        """Drop a channel's history; the position at which the new one begins."""
        return await self._broker.drop(channel)

    async def members(self, channel: str, *, cursor: str | None) -> Members:
        """A page of a channel's members."""
        return await self._broker.members(channel, cursor=cursor, limit=PAGE)

    async def channels(self, prefix: str, *, cursor: str | None) -> ChannelPage:
        """A page of channels that have subscribers."""
        return await self._broker.channels(prefix, cursor=cursor, limit=PAGE)

    async def nodes(self) -> list[bytes]:
        """What each living gateway tells about itself, as JSON objects."""
        return await self._broker.nodes()

    async def drain(self, node: str) -> int:
        """Have a gateway drain; how many connections it had.

        Raises `not_found`, or `conflict` when no other one takes clients.
        """
        found = await self._gateways(node)
        if not (others := takers(found, node)):
            raise OpenlineError(
                Code.CONFLICT, f"no other gateway takes clients than {shown(node)}; start one first"
            )
        connections = _connections(found, node)
        within = moving_seconds(connections, others)
        await self.send_control(DrainNode(node=node, within=within))
        return connections

    async def undo_drain(self, node: str) -> int:
        """Have a gateway take clients again; how many connections it has. Raises `not_found`."""
        found = await self._gateways(node)
        await self.send_control(UndoDrain(node=node))
        return _connections(found, node)

    async def _gateways(self, node: str) -> list[Peer]:
        """The living gateways. Raises `not_found` when `node` is none of them."""
        found = peers(await self._broker.nodes())
        names = sorted({peer.node for peer in found})
        if node not in names:
            living = ", ".join(names) or "none"
            raise OpenlineError(
                Code.NOT_FOUND, cut(f"there is no gateway {shown(node)}; living: {living}", 500)
            )
        return found

    async def direct(self, connection: str, raw: bytes) -> None:
        """Send data to one connection, at most once."""
        check_written(DIRECT, len(raw))
        checked = data.check_json(raw)
        check_size(DIRECT, len(checked))
        await self.send_control(
            Direct(connection=connection, data=msgspec.Raw(checked), ts=self._now_ms())
        )

    async def send_control(self, message: Control) -> None:
        """Tell every gateway to do something."""
        await self._broker.control(control.encode(message))

    async def revoke(self, user: str) -> None:
        """End the tokens that a user was given up to now; returns in the next second. Raises `unavailable`."""
        assert self._revocations is not None
        now = self._clock()
        revocation = Revocation(
            kind=revocations.Kind.SUBJECT, value=user, exp=now + self._longest_token, cutoff=now
        )
        await self._revocations.add(revocation)
        await self.send_control(Revoke(**revocation.as_dict()))
        await asyncio.sleep(1 - now % 1)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _Checked:
    """Checks data once for each namespace: a broadcast brings the same to a thousand channels."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._known: dict[tuple[str, int], bytes | OpenlineError] = {}

    def data(self, namespace: Namespace, message: Message) -> bytes:
        """The data in the form in which it is stored. Raises `invalid_data` or `too_large`."""
        # The messages of one call are alive all the while, so the same id is the same object.
        which = (namespace.name, id(message.data))
        found = self._known.get(which)
        if found is None:
            try:
                found = self._check(namespace, message)
            except OpenlineError as error:
                found = error
            self._known[which] = found
        if isinstance(found, OpenlineError):
            raise found
        return found


def _connections(found: Iterable[Peer], node: str) -> int:
    return sum(peer.connections for peer in found if peer.node == node)


def _iso(now: float) -> str:
    return (
        datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
