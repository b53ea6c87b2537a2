"""The broker in memory: the model that the Redis adapter is compared with, and the store of unit tests."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence

from msgspec.structs import replace

from services.kernel.broker.memory.partition import MemoryPartition
from services.kernel.broker.paging import unwrap, wrap
from services.kernel.broker.port import (
    LEASE_SECONDS,
    Batch,
    Beat,
    Beaten,
    Broker,
    ChannelPage,
    Counters,
    Done,
    Draft,
    Entered,
    EntryType,
    Health,
    History,
    Look,
    Looked,
    Member,
    Members,
    Outcome,
    Stale,
    Take,
)
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.redis import keys

HISTORY_BYTES = 1_048_576
READ = 1000
REAP = 500
"""Bounds of a page of history, of a read and of a reap, as in the Redis adapter."""

SHORT = "the message store is unavailable: its memory for messages is used up"


class MemoryBroker:
    """`Broker` in one process; nodes that share the object share the store.

    Tests turn it off with `down`, let its memory be short with `short`, and let it lose everything, or only its good name,
    with `flush` and `fence`.
    """

    def __init__(
        self,
        *,
        partitions: int = 1,
        bus_length: int = 50_000,
        bus_bytes: int = 67_108_864,
        lease: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`lease` in seconds; `clock` answers in seconds."""
        self.partitions = partitions
        self.counters = Counters()
        self.down = False
        self.short = False
        self._clock = clock
        self._bus = {"bus_length": bus_length, "bus_bytes": bus_bytes}
        self._lease = int(lease * 1000)
        self._parts = [self._empty() for _ in range(partitions)]
        self._beaten: set[tuple[int, str]] = set()
        self._buckets: dict[str, tuple[float, float]] = {}
        self._news = asyncio.Condition()
        self._storing: set[asyncio.Task[None]] = set()

    def _empty(self) -> MemoryPartition:
        return MemoryPartition(**self._bus, lease=self._lease)

    def flush(self) -> None:
        """Lose everything, as FLUSHALL does."""
        self._parts = [self._empty() for _ in self._parts]

    def fence(self) -> None:
        """A new history id, as after a promotion that lost nothing or a restart."""
        for part in self._parts:
            part.history = secrets.token_hex(8)

    async def start(self) -> None:
        """Nothing to check."""

    async def close(self) -> None:
        """Nothing to give back."""

    def partition(self, channel: str) -> int:
        """The partition a channel lives in."""
        return keys.partition(channel, self.partitions)

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _count(self, operation: str, number: int = 1) -> None:
        """Count calls, and refuse them while the store is down."""
        counts = [self.counters.calls, self.counters.failures]
        for count in counts if self.down else counts[:1]:
            count[operation] = count.get(operation, 0) + number
        if self.down:
            raise OpenlineError(Code.UNAVAILABLE, "the message store is unavailable: it is down")

    def _of(self, channel: str) -> MemoryPartition:
        return self._parts[self.partition(channel)]

    async def _wake_readers(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def publish(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Store drafts in order; one result a draft."""
        try:
            self._count("publish", len(drafts))
        except OpenlineError as error:
            return [error] * len(drafts)
        if self.short:
            return [OpenlineError(Code.UNAVAILABLE, SHORT, retry_after=5)] * len(drafts)
        now = self._now()
        results = [
            self._of(draft.channel).publish(draft, epoch=_fresh(), now=now) for draft in drafts
        ]
        await self._wake_readers()
        return results

    def publish_one(self, draft: Draft, done: Done) -> None:
        """The same for one draft, without waiting."""
        storing = asyncio.create_task(self._publish_one(draft, done))
        self._storing.add(storing)
        storing.add_done_callback(self._storing.discard)

    async def _publish_one(self, draft: Draft, done: Done) -> None:
        outcome: Outcome
        try:
            (outcome,) = await self.publish([draft])
        except OpenlineError as error:
            outcome = error
        done(outcome)

    async def history(
        self, channel: str, *, since: Position | None, limit: int, reverse: bool
    ) -> History:
        """A page of history. Raises `conflict` for a `since` of another epoch."""
        self._count("history")
        part, now = self._of(channel), self._now()
        head = part.opened(channel, epoch=_fresh(), now=now)
        if since is not None and since.epoch != head.epoch:
            raise OpenlineError(
                Code.CONFLICT,
                f"since is of another epoch of {channel}",
                position=(head.epoch, head.offset),
            )
        page, more = part.channel(channel, now).page(
            None if since is None else since.offset,
            reverse=reverse,
            limit=max(1, limit),
            budget=HISTORY_BYTES,
        )
        return History(epoch=head.epoch, offset=head.offset, publications=page, more=more)

    async def drop(self, channel: str) -> Position:
        """Drop the history: a new epoch, the offset goes on."""
        self._count("drop")
        position = self._of(channel).drop(channel, epoch=_fresh(), now=self._now())
        await self._wake_readers()
        return position

    async def look(self, partition: int, looks: Sequence[Look]) -> list[Looked | Stale]:
        """Compare channels of one partition with their logs."""
        self._count("look", len(looks))
        now = self._now()
        return [self._parts[partition].look(look, now=now) for look in looks]

    async def open(self, channel: str, epoch: str) -> None:
        """Make the head valid."""
        self._count("open")
        self._of(channel).opened(channel, epoch=epoch, now=self._now())

    async def read(
        self,
        partition: int,
        after: int,
        *,
        block: float = 2.0,
        wanted: Collection[str] | None = None,  # noqa: ARG002 - nothing is kept back here
        take: Take | None = None,  # noqa: ARG002 - nor anything given before a read ends
    ) -> Batch:
        """Bus entries after an id; empty when none came within `block` seconds."""
        self._count("read")
        found = self._parts[partition].after(after, READ)
        if found or block <= 0:
            return Batch.of(after, found)
        try:
            async with asyncio.timeout(block), self._news:
                await self._news.wait_for(lambda: bool(self._parts[partition].after(after, 1)))
        except TimeoutError:
            return Batch.of(after, [])
        return Batch.of(after, self._parts[partition].after(after, READ))

    def read_now(self, partition: int) -> None:
        """No read rests."""

    async def reconnect(self, partition: int) -> None:
        """Nothing to drop."""

    async def beat(self, partition: int, beat: Beat) -> Beaten:
        """Renew the lease; a canary goes on the bus where the last one is old."""
        self._count("beat")
        first = (partition, beat.incarnation) not in self._beaten
        self._beaten.add((partition, beat.incarnation))
        reply = self._parts[partition].beat(beat, first=first, full=self.short, now=self._now())
        await self._wake_readers()
        return reply

    async def health(self) -> Health:
        """Whether messages are refused."""
        self._count("health")
        return Health(full=self.short)

    async def reap(self, partition: int, incarnation: str) -> bool:
        """Let up to 500 members of a dead incarnation leave."""
        self._count("reap")
        more = self._parts[partition].reap(incarnation, most=REAP, now=self._now())
        await self._wake_readers()
        return more

    async def resign(self, incarnation: str) -> None:
        """End the lease at once."""
        self._count("resign")
        for part in self._parts:
            part.resign(incarnation)

    async def enter(
        self, channel: str, member: Member, incarnation: str, *, announce: bool, former: str = ""
    ) -> Entered:
        """A connection becomes present."""
        self._count("enter")
        present = self._of(channel).enter(
            channel, member, incarnation, announce=announce, former=former, now=self._now()
        )
        await self._wake_readers()
        return present

    async def leave(
        self, channel: str, connection: str, incarnation: str, *, announce: bool, linger: bool
    ) -> bool:
        """A connection leaves, or lingers."""
        self._count("leave")
        there = self._of(channel).leave(
            channel, connection, incarnation, announce=announce, linger=linger
        )
        await self._wake_readers()
        return there

    async def members(self, channel: str, *, cursor: str | None, limit: int) -> Members:
        """A page of the members, in the order of their connections' names."""
        after = unwrap(cursor)
        self._count("members")
        here = self._of(channel).all[channel]
        names, more = _page((name for name in here.members if name > after), max(1, limit))
        page = tuple(replace(here.members[name].member, client="") for name in names)
        present = here.present()
        end = wrap(names[-1]) if more else None
        return Members(members=page, count=present.count, users=present.users, cursor=end)

    async def typing(self, channel: str, user: str | None) -> None:
        """Tell the channel's subscribers that a user types."""
        self._count("typing")
        if self.short:
            return
        fragment = b'"user":' + json.dumps(user).encode()
        self._of(channel).put(EntryType.TYPING, channel, fragment=fragment)
        await self._wake_readers()

    async def control(self, message: bytes) -> None:
        """Put a control message on the bus of partition 0."""
        self._count("control")
        self._parts[0].put(EntryType.CONTROL, fragment=message)
        await self._wake_readers()

    async def listeners(
        self, incarnation: str, counts: Mapping[str, int], *, totals: Container[str] = ()
    ) -> dict[str, int]:
        """Set a node's subscribers a channel, and count the fleet's."""
        self._count("listeners")
        now = self._now()
        for channel, count in counts.items():
            self._of(channel).listen(incarnation, {channel: count}, now=now)
        return {name: self._of(name).subscribers(name, now) for name in counts if name in totals}

    async def subscribers(self, channels: Sequence[str]) -> list[int]:
        """Connections subscribed to each channel."""
        self._count("subscribers", len(channels))
        now = self._now()
        return [self._of(name).subscribers(name, now) for name in channels]

    async def channels(self, prefix: str, *, cursor: str | None, limit: int) -> ChannelPage:
        """A page of channels that have subscribers."""
        after = unwrap(cursor)
        self._count("channels")
        found = (
            name
            for part in self._parts
            for name, channel in part.all.items()
            if channel.listeners and after < name < prefix + "\x7f" and name.startswith(prefix)
        )
        names, more = _page(found, max(1, limit))
        counts = await self.subscribers(names)
        heard = tuple(pair for pair in zip(names, counts, strict=True) if pair[1])
        return ChannelPage(heard, wrap(names[-1]) if more else None)

    async def nodes(self) -> list[bytes]:
        """What living nodes told with their last beats."""
        self._count("nodes")
        return self._parts[0].living(self._now())

    async def spend(
        self, usage: Mapping[str, float], *, rate: float, burst: float
    ) -> dict[str, float]:
        """Take from users' buckets; what each has left, not below -burst."""
        self._count("spend")
        now = self._clock()
        for user, taken in usage.items():
            left, at = self._buckets.get(user, (burst, now))
            left = min(burst, left + max(0.0, now - at) * rate)
            self._buckets[user] = (max(-burst, left - taken), now)
        return {user: self._buckets[user][0] for user in usage}


def _fresh() -> str:
    return secrets.token_hex(8)


def _page(names: Iterable[str], limit: int) -> tuple[list[str], bool]:
    """The first names in their order, and whether there are more."""
    found = sorted(names)
    return found[:limit], len(found) > limit


_: type[Broker] = MemoryBroker
