"""The broker's port: what services ask of the stream store, and the guarantee they get.

**Guarantee.** `publish` appends to a channel's log and to the bus of the channel's partition in one atomic step, so a
channel's publications have contiguous offsets within an epoch and appear on the bus in offset order. What `publish`
acknowledged is in the log until history size, bytes or ttl take it out, or until the store loses it; a loss changes the
partition's history id and the channel's epoch, never silently reuses a position. **The bus may lose, repeat or delay
entries**; its reader notices by ids and offsets and asks the log (`look`). A failed or timed-out publish may or may
not have been stored; the same draft with the same `key` stores it at most once.

Every method may raise `OpenlineError(unavailable)` when the store cannot be reached or is not writable now.
Times are seconds unless named otherwise. Channels are full names (`room:lobby`), already validated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, overload

from msgspec import Struct

from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind, Publication

PAGE = 100
"""Publications a look returns at most."""

PAGE_BYTES = 262_144
"""Bytes of data a look returns at most (one publication always fits)."""


LEASE_SECONDS = 6.0
"""Seconds without a beat after which an incarnation's lease ends and its members leave."""

CANARY_SECONDS = 0.9
"""Age of the last canary from which a beat adds the next one: a little below the second between two beats, so that the only
gateway of a fleet adds one with each."""

QUIET_CANARY_SECONDS = 2.9
"""The same while the last canary is the bus's newest entry: every gateway is woken for each, and nothing waits to be read."""

KEEP_SECONDS = 900.0
"""Between two times that a node tells its listeners' numbers although they have not changed."""


class Draft(Struct, frozen=True, kw_only=True, gc=False):
    """A message to be published.

    `key` is the idempotency key, already scoped to its subject, remembered for five minutes. `token` marks the pending
    `echo: false` publish of a connection. `expect` makes it conditional on the channel's head. An `ephemeral` draft
    goes to the bus only. `history_size` in messages, `history_ttl` in seconds; `history_bytes` are what data and metadata of
    all messages of the history have together at most, but for the newest, which always stays.
    """

    channel: str
    data: bytes
    meta: bytes
    kind: Kind = Kind.JSON
    key: str | None = None
    token: str = ""
    ephemeral: bool = False
    expect: Position | None = None
    history_size: int = 1000
    history_bytes: int = 16_777_216
    history_ttl: int = 86_400


class Published(Struct, frozen=True, gc=False):
    """Where a draft went. An ephemeral one has offset 0. `subscribers` are connections over the fleet."""

    epoch: str
    offset: int
    duplicate: bool = False
    subscribers: int = 0


Outcome = Published | OpenlineError
"""What became of a draft."""

Done = Callable[[Outcome], None]
"""Gets what became of a draft, once, and never from within the call that it was given to. Raises nothing."""


class EntryType(StrEnum):
    """What a bus entry tells."""

    MESSAGE = "m"  # a publication of a channel's history
    EPHEMERAL = "e"  # a publication outside history
    JOIN = "j"  # fragment: "user":..,"connection":..,"count":..,"users":..
    LEAVE = "l"  # the same
    TYPING = "t"  # fragment: "user":..
    NUDGE = "n"  # the channel's epoch changed without a publication; compare and look
    CONTROL = "c"  # fragment: a control message (JSON object); partition 0 only
    UNKNOWN = "?"  # written by another version: only its id counts
    BEAT = "b"  # canary; fragment: "node":"<who added it>","at":<ms of the store's clock>


class Entry(Struct, gc=False):
    """One entry of a partition's bus. `id` counts up by one from entry to entry; a hole means entries were trimmed.

    `publication` is set for messages and ephemerals; `fragment` for the other types. A nudge carries its new epoch and
    offset in `publication` with empty data.
    """

    id: int
    type: EntryType
    channel: str = ""
    publication: Publication | None = None
    fragment: bytes = b""


class Batch(Sequence[Entry]):
    """What a read brought: of the ids above `after` up to `to`, these entries are all.

    A hole of the bus shows as an `after` that is higher than the id after which was read. Here they are given decoded; an
    adapter decodes them when they are looked at.
    """

    __slots__ = ("_entries", "after", "to")

    def __init__(self, after: int, to: int, entries: Sequence[Any] = ()) -> None:
        """`entries` in the order of their ids."""
        self.after = after
        self.to = to
        self._entries = entries

    @classmethod
    def of(cls, after: int, entries: Sequence[Entry]) -> Batch:
        """What reading after an id brings where the bus has these entries, whose ids are contiguous."""
        if not entries:
            return cls(after, after)
        return cls(entries[0].id - 1, entries[-1].id, entries)

    def wanted(self, channels: Container[str]) -> Iterator[Entry]:
        """Those of channels that are known when they come to be looked at, and those of no channel, in order."""
        for entry in self._entries:
            if entry.channel in channels or not entry.channel:
                yield entry

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Entry]: ...

    def __getitem__(self, place: int | slice) -> Entry | Sequence[Entry]:
        return self._all()[place]

    def _all(self) -> Sequence[Entry]:
        return self._entries


Take = Callable[[Batch], bool]
"""Takes what a read has brought so far, and says whether the read is to go on behind it. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where is the channel's head, and what is missing since the lowest of these positions that the log can serve?

    `since`: positions of readers, any order, any epoch; those of another epoch or older than the log are passed over.
    `last`: also reach back over the N newest. Without either: the head only. `resume`: a `since` of another epoch stands
    for the place where the head's epoch began, or for the oldest that the log has since, as whoever held it goes on there.
    `epoch` (fresh, random): where head or history record do not match, make them valid as `open` does, then look: in one call.
    """

    channel: str
    since: tuple[Position, ...] = ()
    last: int = 0
    resume: bool = False
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Looked:
    """A look's reply, one consistent moment of the store.

    `history`: the partition's history id. `bus`: last id on its bus. `epoch`, `offset`: the channel's head; `began`:
    the offset at which the epoch began. `publications` are contiguous from `start + 1`; at most PAGE of them or
    PAGE_BYTES: when `start + len(publications) < offset` there is more, to be asked for with `since` at the last one.
    """

    history: str
    bus: int
    epoch: str
    offset: int
    began: int
    start: int
    publications: tuple[Publication, ...] = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """A look cannot answer: the history record or the head does not match this server. Look again with an `epoch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A page of a channel's history, in the order asked for. `offset` is the head; `more`: the page was cut."""

    epoch: str
    offset: int
    publications: tuple[Publication, ...]
    more: bool


class Member(Struct, frozen=True, kw_only=True, gc=False):
    """A connection that is present in a channel. `info` is JSON text or empty; `since` in milliseconds since 1970.

    `client` tells anonymous clients apart, as far as they are known; it is not given out again.
    """

    user: str | None
    connection: str
    info: bytes = b""
    since: int = 0
    client: str = ""


class Present(Struct, frozen=True, gc=False):
    """How many are in a channel: connections, and different users."""

    count: int
    users: int


class Entered(Present, frozen=True, gc=False):
    """What a newcomer learns: the counts with it, and the connection whose place it took, or nothing."""

    former: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """A page of members. `count` and `users` are exact for the channel; `cursor` is None at the end."""

    members: tuple[Member, ...]
    count: int
    users: int
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a node tells each second: its incarnation and what `GET /v1/nodes` shows of it (a JSON object).

    `former`: the incarnation that it was before, while that one's members are being entered again. It counts no more.
    `canary`: add one in any case, so that a node that has heard nothing yet need not wait for another's.
    """

    incarnation: str
    node: bytes
    former: str = ""
    canary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Beaten:
    """The reply to a beat. `bus`: last id, a canary of the beat's own included. `at`: ms of the store's clock.

    `lost`: this incarnation's lease had ended and was reaped or may be, or the history id is another than at its first
    beat, so that members may be missing: take a new incarnation, beat, and enter members and listeners again.
    `expired`: incarnations whose lease has ended and whose members are to be reaped. `full`: messages are refused, since the
    store's memory is short.
    """

    history: str
    bus: int
    lost: bool = False
    expired: tuple[str, ...] = ()
    full: bool = False
    at: int = 0


@dataclass(frozen=True, slots=True)
class ChannelPage:
    """Channels that have subscribers, with their number over the fleet; `cursor` is None at the end."""

    channels: tuple[tuple[str, int], ...]
    cursor: str | None


@dataclass(slots=True)
class Counters:
    """What the adapter did, for metrics: calls by operation, and failures by operation.

    `moves` are times that the store's master was found at another address, `silent_sentinels` those that do not answer,
    `masterless_partitions` those whose slot no node of a cluster serves. `handovers` tells of each partition whether its
    last heartbeat was refused since it is being handed over.
    """

    calls: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    moves: int = 0
    silent_sentinels: int = 0
    masterless_partitions: int = 0
    handovers: dict[int, bool] = field(default_factory=dict)


class Log(Protocol):
    """Channels' logs and heads."""

    async def publish(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Store drafts, in order for each channel, in one round trip a partition; one result a draft.

        While the store's memory is short, all are refused as `unavailable` with `retry_after`; nothing else is.
        `conflict` (with `position`) when `expect` fails; `unavailable` when it is not known to be stored.
        """

    def publish_one(self, draft: Draft, done: Done) -> None:
        """What `publish` does for one draft, without waiting for it."""

    async def history(
        self, channel: str, *, since: Position | None, limit: int, reverse: bool
    ) -> History:
        """A page of history: after `since` (exclusive) oldest first, or before it newest first when reversed.

        A `since` of another epoch raises `conflict` with the current position.
        """

    async def drop(self, channel: str) -> Position:
        """Drop the history: a new epoch, the offset goes on. Readers are told through a nudge."""

    async def look(self, partition: int, looks: Sequence[Look]) -> list[Looked | Stale]:
        """Compare channels of one partition with their logs; one round trip; read-only but for looks with an `epoch`.

        Those raise `unavailable` on a server that is not the master, and none of them is answered with Stale.
        """

    async def open(self, channel: str, epoch: str) -> None:
        """Make head and history record valid on the master: `epoch` (fresh, random) names a new history if one begins.

        Does nothing where both match already. Raises `unavailable` on a server that is not the master.
        """


class Bus(Protocol):
    """The stream of a partition that every gateway reads."""

    async def read(
        self,
        partition: int,
        after: int,
        *,
        block: float = 2.0,
        wanted: Collection[str] | None = None,
        take: Take | None = None,
    ) -> Batch:
        """Bus entries after an id, oldest first; empty when none came within `block` seconds.

        With `take`, entries that come one by one may be given to it as they arrive, and the read goes on behind them: what it
        returns follows what was taken last. It is empty when `take` has said that it is not to go on.

        Single entries of channels that are not in `wanted` as they arrive may be kept back for some time, until one comes
        that is or has no channel, a quarter of a second at most while entries come and `block` seconds otherwise.
        Reads leave no sooner than 3 ms after one that returned entries, so that a busy bus is read in batches; while `wanted` is
        empty no sooner than 100 ms, unless `read_now` says so.
        """

    def read_now(self, partition: int) -> None:
        """A channel has come to be wanted where none was: do not let a read of this partition rest any longer."""

    async def reconnect(self, partition: int) -> None:
        """Drop this partition's connections; the next call looks up the current master again."""

    async def control(self, message: bytes) -> None:
        """Put a control message (a JSON object) on the bus of partition 0: every gateway acts on it."""

    async def typing(self, channel: str, user: str | None) -> None:
        """Tell the channel's subscribers that a user types; at most once, not kept, and not while memory is short."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a store's servers answer. `away`: the partitions of those that do not.

    `full`: messages are refused on one of them, since its memory is short, as of the last beat or refusal.
    """

    full: bool = False
    away: tuple[int, ...] = ()


class Fleet(Protocol):
    """Leases of gateways, what they have subscribers in, and what users share over the fleet."""

    async def beat(self, partition: int, beat: Beat) -> Beaten:
        """Renew the lease, and learn history id, last bus id and whom to reap.

        A canary goes on the bus where the last one, whosesoever, is CANARY_SECONDS old, or QUIET_CANARY_SECONDS where nothing
        came after it and messages are not refused: every node reads each.
        An incarnation's first beat gives it its lease; before it, and once it is lost, `enter` and `listeners` are
        refused as `unavailable`: nobody would take away what they wrote.
        """

    async def health(self) -> Health:
        """Ask each server of the store once. Raises `unavailable` when none answers."""

    async def reap(self, partition: int, incarnation: str) -> bool:
        """Let up to 500 members of a dead incarnation leave; True while there are more. Claimed and idempotent."""

    async def resign(self, incarnation: str) -> None:
        """End the lease at once, on a clean stop: what is left of it may be reaped. Raises when a partition is away."""

    async def nodes(self) -> list[bytes]:
        """The JSON objects that living nodes told with their last beats."""

    async def listeners(
        self, incarnation: str, counts: Mapping[str, int], *, totals: Container[str] = ()
    ) -> dict[str, int]:
        """Set this node's number of subscribers a channel; 0 removes it. The fleet's number of each of these in `totals`.

        Set and counted in one step: of two nodes that tell at the same time, the later one sees what both have told.

        A channel in which nothing was published is forgotten an hour after it was opened, and its next epoch is another
        one: tell the numbers again within KEEP_SECONDS, and it lives on while somebody listens.
        """

    async def subscribers(self, channels: Sequence[str]) -> list[int]:
        """Connections subscribed to each channel over the fleet, right within a second.

        Those of an incarnation that has not beaten for half a lease are not counted, here and in `Published`: after a crash
        its clients have come back elsewhere.
        """

    async def channels(self, prefix: str, *, cursor: str | None, limit: int) -> ChannelPage:
        """A page of channels that have subscribers and begin with `prefix`, in the order of their names."""

    async def spend(
        self, usage: Mapping[str, float], *, rate: float, burst: float
    ) -> dict[str, float]:
        """Take from buckets shared by the fleet, by their names; the answer is what each has left (negative: overdrawn).

        Names whose partition is away are not in it; raises `unavailable` when all are.
        """


ANNOUNCED_MEMBERS = 200
"""Members up to which each join and leave is announced to the others; above, only their number."""

ANNOUNCED_INFO_BYTES = 1024
"""Bytes of a member's info that a join shows at most."""


class Presence(Protocol):
    """The presence of a channel."""

    async def enter(
        self, channel: str, member: Member, incarnation: str, *, announce: bool, former: str = ""
    ) -> Entered:
        """A connection becomes present; announced to others as a join unless it takes another's place silently.

        That is `former`'s, the connection that the client had before, if the same user or the same anonymous client is
        there by it; else that of a connection of the same user that lingers. Entering again is idempotent and silent.
        The counts include the newcomer. The join tells `info` where it is small, and the room as well, and `first`: whether
        the user had no connection there before.
        """

    async def leave(
        self, channel: str, connection: str, incarnation: str, *, announce: bool, linger: bool
    ) -> bool:
        """A connection leaves, announced when it was there. With `linger` it is only marked: the same user's next
        enter within 5 s takes its place silently; unless that happens the caller leaves again without `linger` after that. True if it was
        there. The leave tells `last`: whether the user has no other connection there.
        """

    async def members(self, channel: str, *, cursor: str | None, limit: int) -> Members:
        """A page of the members. Raises `bad_request` for a cursor it did not hand out."""


class Broker(Log, Bus, Fleet, Presence, Protocol):
    """All that services may ask."""

    partitions: int
    counters: Counters

    async def start(self) -> None:
        """Connect, check the server (role master, noeviction, version; warn without AOF) and the partition layout.

        Raises `ConfigurationError` with one line that names the fix when the server can never serve.
        """

    async def close(self) -> None:
        """Give all connections back. Idempotent."""

    def partition(self, channel: str) -> int:
        """The partition a channel lives in."""
