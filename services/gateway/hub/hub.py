"""All channels of one partition on this node: decides from bus entries, looks and beats what each listener gets.

Pure: time (`now`, seconds of any clock that does not go back) and replies are arguments, calls to be carried out are
collected by the driver through `effects`, and what subscribers are to get is told to their audience at once. Replies
may come late, repeated or never.

The bus may lose, repeat or delay entries. So the hub compares positions (`Channel`), knows where on which bus it reads
(`BusCursor`), asks the log in between, and what the log cannot tell either it calls a loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from services.gateway.hub import pages
from services.gateway.hub.bus_cursor import BusCursor, Verdict
from services.gateway.hub.channel import Channel
from services.gateway.hub.effects import Effect, PendingCalls
from services.gateway.hub.idle_channels import IdleChannels
from services.gateway.hub.look_schedule import LookSchedule
from services.gateway.hub.port import (
    HubLimits,
    LookCall,
    ReconnectCall,
    Sink,
)
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.hub.resync_queue import QUEUED, ResyncQueue
from services.gateway.hub.waiter import Waiter
from services.kernel.broker.port import Batch, Beaten, Entry, EntryType, Look, Looked, Stale
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

UNBOUNDED = 1 << 62

UNCONFIRMED = "the channel's position cannot be confirmed now; subscribe again"
CROWDED = "too many clients are replaying history right now; subscribe again later"

_MESSAGE = EntryType.MESSAGE
_NUDGE = EntryType.NUDGE


class Hub:
    """One partition's channels. Subscribers may be any hashable objects; only audiences look into them.

    A method may call audiences before it returns; they may call `subscribe` and `unsubscribe` back. `gateways` is their number
    in the fleet, as far as it is known.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        new_epoch: Callable[[], str],
        limits: HubLimits | None = None,
        budget: ReplayBudget[Any] | None = None,
    ) -> None:
        """`budget` bounds what is held for subscribers that wait or were sent what they missed; None: any number of bytes."""
        self._sink = sink
        self._new_epoch = new_epoch
        self._limits = limits or HubLimits()
        self._budget = ReplayBudget(UNBOUNDED) if budget is None else budget
        self._cursor = BusCursor()
        self._channels: dict[str, Channel] = {}
        self.gateways = 1
        self._look_schedule = LookSchedule()
        self._resync_queue = ResyncQueue(self._limits)
        self._calls = PendingCalls(self._limits.answer)
        self._deadlines: deque[tuple[Channel, Waiter]] = deque()
        self._idle = IdleChannels(self._limits.idle_seconds, self._limits.idle_most)
        self._now = 0.0

    # Subscribers

    def subscribe(
        self,
        channel: str,
        subscriber: Any,
        *,
        since: Position | None = None,
        last: int = 0,
        now: float,
    ) -> None:
        """Join after `since`, or with the `last` newest, or (neither) at the channel's position.

        The audience's `add` or `refuse` is called, now or later, exactly once unless the subscriber leaves first.
        Raises ValueError for one that is there already.
        """
        self._now = now
        state = self._channels.get(channel)
        if state is None:
            state = self._channels[channel] = Channel(
                channel, self._sink.audience(channel), self._limits, budget=self._budget
            )
        if subscriber in state.listeners or subscriber in state.waiters:
            raise ValueError(f"{subscriber!r} is subscribed to {channel} already")
        waiter = Waiter(subscriber, since=since, last=last, deadline=now + self._limits.patience)
        waiter.advances = state.advances
        if not (state.live and state.join(waiter)):
            state.waiters[subscriber] = waiter
            self._deadlines.append((state, waiter))
            self._hasten(state)
        self._settle(state)

    def unsubscribe(self, channel: str, subscriber: Any, now: float) -> None:
        """A listener or waiter goes. One that is neither is ignored."""
        self._now = now
        state = self._channels.get(channel)
        if state is not None:
            state.leave(subscriber)
            self._settle(state)

    def position(self, channel: str) -> Position | None:
        """What every listener of the channel has been given; None when that is not known yet."""
        state = self._channels.get(channel)
        return state.position if state else None

    def began(self, channel: str) -> int:
        """The offset at which the epoch of a channel's position began."""
        state = self._channels.get(channel)
        return state.began if state else 0

    def listened(self) -> list[str]:
        """The channels that somebody listens to now."""
        return [name for name, channel in self._channels.items() if channel.listeners]

    def listeners(self, channel: str) -> int:
        """How many listen to a channel now."""
        state = self._channels.get(channel)
        return len(state.listeners) if state else 0

    def ring(self, channel: str, after: int) -> list[Publication]:
        """The newest publications above `after` that are kept, up to `position`, oldest first (rule 9).

        The first may be higher than `after` + 1: then those between are not kept.
        """
        state = self._channels.get(channel)
        return state.ring.after(after) if state else []

    # The bus

    @property
    def following(self) -> bool:
        """Whether the driver is to read; False until a beat has told a position."""
        return self._cursor.following

    @property
    def generation(self) -> int:
        """Of the position: hand it back with the entries that were read with it."""
        return self._cursor.generation

    @property
    def bus_position(self) -> int:
        """The bus id after which to read."""
        return self._cursor.position

    @property
    def channels(self) -> Collection[str]:
        """The channels whose entries are wanted, as they change."""
        return self._channels

    @property
    def history(self) -> str:
        """The partition's history id that the reader follows; empty before the first beat."""
        return self._cursor.history

    def entries(self, generation: int, batch: Batch, now: float) -> bool:
        """What a read returned that was made in `generation`. Where it begins above the position, some were trimmed.

        False when all were the next publications of live channels or wanted by nobody: then there is nothing new to be done.
        """
        self._now = now
        cursor = self._cursor
        if generation != cursor.generation or not cursor.following:
            return False
        told = False
        channels = self._channels
        if batch.after > cursor.position:
            self._hole(batch.after)
            told = True
        position = cursor.position
        try:
            for entry in batch.wanted(channels):
                if entry.id <= position:
                    continue
                position = entry.id
                channel = channels.get(entry.channel)
                if channel is None:
                    if not entry.channel:
                        told = True
                        self._system(entry)
                    continue
                publication = entry.publication
                if (
                    publication is not None
                    and publication.offset == channel.offset + 1
                    and channel.live
                    and entry.type is _MESSAGE
                    and publication.epoch == channel.epoch
                ):
                    # The fast path: `Channel.advance` written out, since this runs for every publication.
                    channel.offset += 1
                    channel.ring.append(publication)
                    if channel.listeners:
                        channel.audience.deliver(publication)
                else:
                    told = True
                    self._unexpected(channel, entry)
            position = max(position, batch.to)
        finally:
            cursor.position = (
                position  # also when an audience failed: nothing is read twice, and reading goes on
            )
        return told

    def _unexpected(self, channel: Channel, entry: Entry) -> None:
        """Anything but the next publication of a live channel."""
        if entry.type is _MESSAGE or entry.type is _NUDGE:
            channel.accept(entry)
            self._settle(channel)
        else:
            channel.signal(entry)

    def _system(self, entry: Entry) -> None:
        if entry.type is EntryType.CONTROL:
            self._sink.control(entry)
        elif entry.type is EntryType.BEAT:
            self._sink.canary(entry, self._now)

    def _hole(self, position: int) -> None:
        """Entries were trimmed before they were read."""
        self._cursor.move_to(position)
        self._resync()

    # Beats

    def beaten(self, reply: Beaten | None, sent_position: int, now: float) -> None:
        """A beat was answered, or failed (None). `sent_position` is `bus_position` when it was sent."""
        self._now = now
        if reply is None:
            return
        before = self._cursor.history
        verdict = self._cursor.beaten(reply, sent_position)
        if verdict is Verdict.RECONNECT:
            self._calls.add(ReconnectCall(), now)
        elif verdict is Verdict.RETAKEN:
            for channel in self._channels.values():
                channel.seen = channel.quiet_until = 0  # bus ids of the history before
                channel.stale |= reply.history != before
            self._resync()

    def reconnected(self, now: float) -> None:
        """The partition's connections were dropped; the next one looks up the master again."""
        self._now = now
        self._calls.answered(ReconnectCall())
        self._cursor.reconnected()

    def _resync(self) -> None:
        """Compare everything again from the position just read: any channel may have missed entries (rule 7)."""
        self.forget_idle()
        wanted = sorted(self._channels.values(), key=lambda channel: -len(channel.listeners))
        for channel in wanted:
            self.recompare(channel)
        self._resync_queue.begin(wanted, self._now)
        for channel in wanted:
            if channel.waiters:
                self._hasten(channel)
        self._sink.resynced(self._now)

    def _hasten(self, channel: Channel) -> None:
        """Do not wait for the channel's turn in a resync, which may take longer than the patience of who waits there."""
        if channel.due == QUEUED:
            self._look_schedule.move(channel, self._now)

    def forget_idle(self) -> None:
        """Drop channels that nobody wants: nothing would ever compare them (rule 7)."""
        for channel in [state for state in self._channels.values() if not state.wanted]:
            self._drop(channel)

    def recompare(self, channel: Channel) -> None:
        """Void what is under way for a channel: it began before the position was taken (rule 7)."""
        channel.doubt()

    # Looks

    def looked(self, call: LookCall, replies: Sequence[Looked | Stale] | None, now: float) -> None:
        """A look was answered, one reply a channel in the call's order, or failed (None)."""
        self._now = now
        if self._resync_queue.answered(call.id, now):
            if replies is None:
                self._postpone(call)
            else:
                self._resync_queue.succeeded()
        answers = replies if replies is not None else [None] * len(call.looks)
        for look, reply in zip(call.looks, answers, strict=True):
            channel = self._channels.get(look.channel)
            if channel is not None and channel.looking == call.id:
                self._merge(channel, call, look=look, reply=reply)
        self._calls.answered(
            call
        )  # not before: if an audience fails, what is left counts as failed later

    def _postpone(self, call: LookCall) -> None:
        """A batch of a resync failed."""
        found = (self._channels.get(look.channel) for look in call.looks)
        again = [channel for channel in found if channel is not None and channel.looking == call.id]
        for channel in again:
            channel.looking = None
        self._resync_queue.put_back(again, self._now)
        for channel in again:
            self._settle(channel)

    def _merge(
        self, channel: Channel, call: LookCall, *, look: Look, reply: Looked | Stale | None
    ) -> None:
        if isinstance(reply, Stale):
            self._reopen(channel, look)
        elif (
            reply is None or not self.counts(call, reply, channel) or not pages.is_consistent(reply)
        ):
            channel.looking = None
            if reply is not None and reply.history != self._cursor.history:
                self._lose()  # looks and beats lead to two masters, and neither connection need ever break
            self._later(channel)
        elif channel.merge_look(reply, look):
            channel.failures = 0
            channel.stale = False
            channel.advances += 1
            self._refuse_crowded(channel)
            self._settle(channel)
        else:
            self._refuse_crowded(channel)
            self._later(channel)

    def _reopen(self, channel: Channel, look: Look) -> None:
        """Head or history record do not match (rule 2). If they were to be made to, looks do not reach the master."""
        channel.looking = None
        channel.stale = True
        if look.epoch:
            self._lose()
            self._later(channel)
        else:
            self._settle(channel)

    def _lose(self) -> None:
        if self._cursor.following:
            self._cursor.lose()
            self._calls.add(ReconnectCall(), self._now)

    def counts(self, call: LookCall, reply: Looked, channel: Channel) -> bool:
        """Whether a reply is of the history that is read, and includes all that was known before the call (rule 3).

        Entries read since the call was made are buffered; those before must be in the reply, or nothing has them. A
        channel that an earlier reply has led ahead of the bus must not be led back.
        """
        known = max(call.position, channel.seen)
        return reply.history == self._cursor.history and reply.bus >= known

    # What is due

    @property
    def wake(self) -> float | None:
        """When `tick` is wanted next; None when nothing is pending."""
        while self._deadlines and not self._deadlines[0][0].awaits(self._deadlines[0][1]):
            self._deadlines.popleft()
        times = (
            self._look_schedule.next if self._cursor.following else None,
            self._resync_queue.next if self._cursor.following else None,
            self._calls.next,
            self._deadlines[0][1].deadline if self._deadlines else None,
            self._idle.next,
        )
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """Refuse waiters past their deadline that saw no progress; drop channels whose idle time has ended; give up on
        lost calls.
        """
        self._now = now
        for effect in self._calls.overdue(now):
            self._give_up(effect)
        while self._deadlines and self._deadlines[0][1].deadline <= now:
            channel, waiter = self._deadlines.popleft()
            if not channel.awaits(waiter):
                continue
            if waiter.advances == channel.advances:
                self._refuse(channel, waiter, UNCONFIRMED)
            else:  # the log is being read, however slowly: begun again, a long recovery would never end
                waiter.advances = channel.advances
                waiter.deadline = now + self._limits.patience
                self._deadlines.append((channel, waiter))
        self._sweep()

    def effects(self) -> list[Effect]:
        """What the driver is to do now; call it after every input and after each tick."""
        if self._cursor.following:
            self._make_looks()
        return self._calls.drain()

    def _give_up(self, effect: Effect) -> None:
        """A driver answers every call; should one get lost, it is as if it had failed."""
        match effect:
            case LookCall():
                self.looked(effect, None, self._now)
            case ReconnectCall():
                self.reconnected(self._now)

    def _make_looks(self) -> None:
        """One call for up to a batch of channels whose look is due; of a resync's, one call at a time."""
        ready = [
            channel for channel in self._look_schedule.pop_due(self._now) if self._is_ready(channel)
        ]
        size = self._limits.batch
        for start in range(0, len(ready), size):
            self._ask(ready[start : start + size])
        while batch := self._resync_queue.pop_due(self._now):
            if ready := [channel for channel in batch if self._is_ready(channel)]:
                self._resync_queue.sent(self._ask(ready), self._now, gateways=self.gateways)

    def _ask(self, channels: Sequence[Channel]) -> int:
        """Look at channels; the call's number."""
        serial = self._calls.serial()
        looks = tuple(
            channel.look(serial, epoch=self._new_epoch() if channel.stale else "")
            for channel in channels
        )
        self._calls.add(LookCall(serial, looks, self._cursor.position), self._now)
        return serial

    def _is_ready(self, channel: Channel) -> bool:
        """Whether a look is wanted and none is under way: looks are single-flight."""
        free = channel.looking is None and channel.wants_look
        return free and self._channels.get(channel.name) is channel

    def _settle(self, channel: Channel) -> None:
        """After a change: look, keep for a while, or drop."""
        if channel.wanted:
            self._idle.forget(channel.name)
            if self._is_ready(channel):
                self._look_schedule.put(channel, self._now)
        elif not channel.live:
            self._drop(channel)
        elif self._channels.get(channel.name) is channel:
            self._idle.keep(channel.name, self._now)
            self._sweep()

    def _later(self, channel: Channel) -> None:
        """Look again, but never hammer a store that is down."""
        limits = self._limits
        pause = min(limits.backoff_max, limits.backoff * 2 ** min(channel.failures, 16))
        channel.failures += 1
        if channel.wanted:
            self._look_schedule.put(channel, self._now + pause)
        else:
            self._settle(channel)

    def _refuse_crowded(self, channel: Channel) -> None:
        for waiter in channel.crowded_out():
            self._refuse(channel, waiter, CROWDED)

    def _refuse(self, channel: Channel, waiter: Waiter, reason: str) -> None:
        channel.remove(waiter.subscriber)
        error = OpenlineError(Code.UNAVAILABLE, reason, retry_after=1.0)
        channel.audience.refuse(waiter.subscriber, error)
        self._settle(channel)

    def _sweep(self) -> None:
        """Drop channels that nobody came back to."""
        for name in self._idle.over(self._now):
            self._drop(self._channels[name])

    def _drop(self, channel: Channel) -> None:
        if self._channels.get(channel.name) is channel:
            self._idle.forget(channel.name)
            del self._channels[channel.name]
