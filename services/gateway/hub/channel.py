"""One channel on this node: its position, its listeners, its waiters, and how a look's reply moves them.

All listeners of a channel share its position. It is *live* when the next publication must be the one after it, and
*in doubt* when something may be missing: then nothing is delivered until a look has compared it with the log.
"""

from __future__ import annotations

from typing import Any

from services.gateway.hub import pages
from services.gateway.hub.port import Audience, HubLimits, Joined
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.hub.ring import Ring
from services.gateway.hub.waiter import Waiter
from services.kernel.broker.port import Entry, EntryType, Look, Looked
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication


class Channel:
    """Position, listeners and waiters of one channel.

    `looking` is the call whose reply is awaited, `stale` whether head or history record may not match the server, `due` when
    the next look is wanted, `failures` how many looks in a row did not count, `advances` how many brought something new,
    `seen` the bus id that the newest reply includes, `quiet_until` the bus id up to which nobody listened here, `bottom` an
    offset below which the log was found to hold nothing.
    """

    __slots__ = (
        "_budget",
        "_buffer",
        "_buffer_bytes",
        "_limits",
        "_overflowed",
        "advances",
        "audience",
        "began",
        "bottom",
        "due",
        "epoch",
        "failures",
        "listeners",
        "live",
        "looking",
        "name",
        "offset",
        "quiet_until",
        "ring",
        "seen",
        "stale",
        "waiters",
    )

    def __init__(
        self,
        name: str,
        audience: Audience,
        limits: HubLimits,
        *,
        budget: ReplayBudget[Any],
    ) -> None:
        self.name = name
        self.audience = audience
        self._limits = limits
        self._budget = budget
        self.epoch = ""
        self.offset = 0
        self.began = 0
        self.bottom = 0
        self.live = False
        self.listeners: set[Any] = set()
        self.waiters: dict[Any, Waiter] = {}
        self.ring = Ring(limits.ring_count, limits.ring_bytes)
        self.looking: int | None = None
        self.stale = False
        self.due: float | None = None
        self.failures = 0
        self.advances = 0
        self.seen = 0
        self.quiet_until = 0
        self._buffer: list[Entry] = []
        self._buffer_bytes = 0
        self._overflowed = False

    @property
    def wanted(self) -> bool:
        """Whether anybody listens or waits."""
        return bool(self.listeners or self.waiters)

    @property
    def wants_look(self) -> bool:
        """Whether only the log can tell how to go on."""
        return self.wanted and not (self.live and not self.waiters)

    @property
    def position(self) -> Position | None:
        """What every listener has; None before the first look."""
        return Position(self.epoch, self.offset) if self.epoch else None

    # Entries of the bus

    def accept(self, entry: Entry) -> None:
        """A message or nudge for this channel. The epoch comes first (rule 1): offsets of another say nothing here."""
        publication = entry.publication
        assert publication is not None
        if not self.live:
            if self.looking is not None:
                self._buffer_up(entry)
        elif publication.epoch != self.epoch:
            if entry.id > self.seen:
                self.doubt()
        elif publication.offset > self.offset:
            if publication.offset == self.offset + 1 and entry.type is EntryType.MESSAGE:
                self.advance(publication)
            else:
                self.doubt()

    def advance(self, publication: Publication) -> None:
        """The channel's next publication."""
        self.offset = publication.offset
        self.ring.append(publication)
        if self.listeners:
            self.audience.deliver(publication)

    def signal(self, entry: Entry) -> None:
        """Tell listeners what is in no log, but for what came before the first of them joined.

        The bus may bring that late, and they would take a member who was there before them for a newcomer.
        """
        if self.listeners and entry.id > self.quiet_until:
            self.audience.signal(entry)

    def doubt(self) -> None:
        """Something may be missing; a look that is under way was not asked for that and is void."""
        self.live = False
        self.looking = None

    def _buffer_up(self, entry: Entry) -> None:
        """Keep an entry until the look under way has been merged, within bounds (rule 4)."""
        assert entry.publication is not None
        size = len(entry.publication.data)
        limits = self._limits
        if (
            len(self._buffer) >= limits.buffer_count
            or self._buffer_bytes + size > limits.buffer_bytes
        ):
            self._overflowed = True
            return
        self._buffer.append(entry)
        self._buffer_bytes += size

    # Joining and leaving

    def join(self, waiter: Waiter) -> bool:
        """Let a subscriber join a channel whose position is known, from the ring; False when the log must tell."""
        ready = waiter.may_join(Position(self.epoch, self.offset))
        joined = self._joined(waiter) if ready else None
        if joined is None:
            return False
        self.waiters.pop(waiter.subscriber, None)
        if not self.listeners:
            self.quiet_until = self.seen
        self.listeners.add(waiter.subscriber)
        waiter.collected = []  # it may be remembered until its deadline
        if not joined.publications:
            self._budget.release(waiter.subscriber)
        self.audience.add(waiter.subscriber, joined)
        return True

    def _joined(self, waiter: Waiter) -> Joined | None:
        here = Joined(self.epoch, self.offset, None, self.began, ())
        if waiter.anywhere:
            return here
        if waiter.lost:
            return here._replace(recovered=False)
        if waiter.since is not None:
            missed = self._since(waiter)
            if missed is None:
                return None
            return here._replace(offset=waiter.since.offset, recovered=True, publications=missed)
        missed = self._last(waiter)
        if missed is None:
            return None
        return here._replace(offset=self.offset - len(missed), publications=missed)

    def _since(self, waiter: Waiter) -> list[Publication] | None:
        """Collected pages and the ring, when together they have no hole."""
        have = waiter.have
        if have is None or have.epoch != self.epoch:
            return None
        if not self.ring.base(self.offset) <= have.offset <= self.offset:
            return None
        return waiter.collected + self.ring.after(have.offset)

    def _last(self, waiter: Waiter) -> list[Publication] | None:
        if waiter.have is not None:
            missed = self._since(waiter)
            return missed[-waiter.last :] if missed else missed
        if len(self.ring) >= waiter.last or self.ring.base(self.offset) <= self.bottom:
            return self.ring.newest(waiter.last)
        return None

    def leave(self, subscriber: Any) -> None:
        """A listener or waiter goes; others are not known here and nothing happens."""
        if subscriber in self.listeners:
            self.listeners.discard(subscriber)
            self.audience.remove(subscriber)
        else:
            self.remove(subscriber)

    def remove(self, subscriber: Any) -> None:
        """Nobody waits for it any more."""
        self.waiters.pop(subscriber, None)
        self._budget.release(subscriber)

    # Looks

    def look(self, call: int, *, epoch: str = "") -> Look:
        """What to ask now; `epoch` names the history that begins where none is valid. The buffer is emptied: the reply will include all that the reader has read so far."""
        self.looking = call
        self._buffer.clear()
        self._buffer_bytes = 0
        self._overflowed = False
        for waiter in self.waiters.values():
            waiter.seen_by = call
        if (
            self.listeners and not self.live
        ):  # listeners first; then most waiters join from the ring
            here = (Position(self.epoch, self.offset),)
            return Look(self.name, here, resume=True, epoch=epoch)
        return self._look_for_waiters(epoch)

    def _look_for_waiters(self, epoch: str) -> Look:
        """Pass on the lowest positions: one scan of the log from there serves everyone above as well."""
        haves = {waiter.have for waiter in self.waiters.values() if waiter.have and not waiter.lost}
        ordered = sorted(haves, key=lambda have: (have.epoch != self.epoch, have.offset))
        since = tuple(ordered[: self._limits.positions])
        if self.live:
            since += (Position(self.epoch, self.offset),)
        last = max((w.last for w in self.waiters.values() if w.have is None), default=0)
        return Look(self.name, since, last, epoch=epoch)

    def merge_look(self, reply: Looked, look: Look) -> bool:
        """Merge a reply that counts. False when it brought nothing new, so that asking again at once is no use."""
        before = self._progress()
        try:
            paged = self._merge(reply, look)
        except Exception:
            self.live = False  # an audience failed half-way; `looking` stays, so that the call will count as failed
            raise
        self.looking = None
        return paged or before != self._progress()

    def _merge(self, reply: Looked, look: Look) -> bool:
        """Move channel and waiters by a reply; whether a waiter got something."""
        call = self.looking
        self.seen = max(self.seen, reply.bus)
        caught_up = self._compare(reply, look)
        if look.last and reply.offset - reply.start < look.last:
            self.bottom = reply.start
        paged = False
        if self.live or not self.listeners:
            for waiter in list(self.waiters.values()):
                # Some may have been ended to make room for others.
                if waiter.seen_by == call and self.awaits(waiter):
                    paged |= waiter.page(reply, look, position=self.offset, budget=self._budget)
        if caught_up:
            self._resume()
        return paged

    def _progress(self) -> tuple[bool, str, int, int]:
        return self.live, self.epoch, self.offset, len(self.waiters)

    def _compare(self, reply: Looked, look: Look) -> bool:
        """Move the channel by a reply; True when its position is the head's, or is live anyway."""
        if not self.listeners and not (self.live and reply.epoch == self.epoch):
            self._place(reply)
        elif reply.epoch != self.epoch:
            return self._change_epoch(reply, look)
        elif self.live:
            self._extend(reply)
        elif not pages.continues_from(reply, self.offset) or reply.offset < self.offset:
            self._place(reply)
            self._tell_reset("history")
        else:
            self._extend(reply)
            return self.offset >= reply.offset
        return True

    def _place(self, reply: Looked) -> None:
        """The head is the position."""
        self._move_to(reply, reply.offset)
        if reply.start + len(reply.publications) == reply.offset:
            self.ring.prepend(reply.publications)

    def _move_to(self, reply: Looked, offset: int) -> None:
        if reply.epoch != self.epoch:
            self.bottom = 0  # offsets may count from 1 again, and what was empty is not any more
        self.epoch, self.offset, self.began = reply.epoch, offset, reply.began
        self.ring.clear()

    def _change_epoch(self, reply: Looked, look: Look) -> bool:
        """Lead listeners to where the new epoch began and go on from there: what survived is theirs. True at the head."""
        if not look.resume:
            self.live = False  # it was asked for waiters: the page may begin behind that place
            return False
        self._move_to(reply, max(reply.start, reply.began))
        self._tell_reset("epoch")
        self._extend(reply)
        return self.offset >= reply.offset

    def _tell_reset(self, reason: str) -> None:
        """Listeners cannot be given what is missing: tell them, once."""
        self.audience.reset(self.epoch, self.offset, began=self.began, reason=reason)

    def _extend(self, reply: Looked) -> None:
        """Deliver what the page has above the position; keep what it has below the ring."""
        publications = reply.publications
        below = self.ring.base(self.offset) - reply.start
        if 0 < below <= len(publications):
            self.ring.prepend(publications[:below])
        if pages.continues_from(reply, self.offset):
            for publication in publications[max(0, self.offset - reply.start) :]:
                self.advance(publication)

    def _resume(self) -> None:
        """Go on live from here: let waiters join, then take what was buffered meanwhile the way it would have come."""
        self.live = True
        self.admit()
        buffered, self._buffer = self._buffer, []
        self._buffer_bytes = 0
        for entry in buffered:
            self.accept(entry)
        if self.overflowed():
            self.doubt()
        if self.live:
            self.admit()

    def overflowed(self) -> bool:
        """Whether entries were left out of the buffer, so that one more look is needed (rule 4)."""
        overflowed, self._overflowed = self._overflowed, False
        return overflowed

    def awaits(self, waiter: Waiter) -> bool:
        """Whether it waits still."""
        return self.waiters.get(waiter.subscriber) is waiter

    def crowded_out(self) -> list[Waiter]:
        """Those that cannot be collected for now."""
        return [waiter for waiter in self.waiters.values() if waiter.is_crowded_out]

    def admit(self) -> None:
        """Let every waiter join that can."""
        for waiter in list(self.waiters.values()):
            if self.live and self.awaits(waiter):
                self.join(waiter)
