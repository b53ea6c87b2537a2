"""Fan-out of one channel on this gateway: encode once a wire format, join what is close in time, one write a subscriber.

Nothing is awaited in a sweep. A connection that does not keep up leaves the fast list and is served by its namespace's
slow-consumer policy, so that the others never wait for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from services.gateway.fanout import wire_format
from services.gateway.fanout.conflation import conflate
from services.gateway.fanout.lag import Lag
from services.gateway.fanout.port import ChannelHost
from services.gateway.fanout.presence_events import PresenceEvents
from services.gateway.fanout.subscriber import Subscriber, Subscription
from services.gateway.fanout.wire_format import SIGNALS, WireFormat
from services.gateway.hub.port import Joined
from services.kernel.broker.port import Entry, EntryType
from services.kernel.domain.codes import Close, OpenlineError
from services.kernel.domain.namespaces import Conflate, Namespace, Slow
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

SLICE = 512
"""Writes between two turns of the loop: at some 6 us each a sweep holds up others for 3 ms at most."""

CATCH_UP_SECONDS = 0.1
"""Before a subscriber that has drained is looked at again when the channel's position is not known."""

Write = Callable[[bytes], None]


class Group:
    """The subscribers of one wire format. `writes` is a snapshot that a running sweep may keep using."""

    __slots__ = ("hindered", "stale", "subscriptions", "wire_format", "writes")

    def __init__(self, wire_format: WireFormat) -> None:
        self.wire_format = wire_format
        self.subscriptions: dict[Subscription, None] = {}
        self.writes: list[Write] = []
        self.hindered: list[Subscription] = []
        self.stale = True

    def refresh(self) -> None:
        """Sort subscribers into those that are just written to and those that need a look."""
        self.writes, self.hindered = [], []
        for subscription in self.subscriptions:
            session = subscription.session
            # One that lags must catch up first, or would get its newest message twice.
            if session.unhindered and subscription.lag is None:
                self.writes.append(session.write)
            else:
                self.hindered.append(subscription)
        self.stale = False


class Audience:
    """All subscribers of a channel here. The hub calls it in the channel's order."""

    __slots__ = (
        "_conflates",
        "_events",
        "_flushed_at",
        "_groups",
        "_host",
        "_jobs",
        "_pending",
        "_scheduled",
        "_since",
        "_size",
        "_window",
        "channel",
        "namespace",
    )

    def __init__(self, channel: str, namespace: Namespace, host: ChannelHost) -> None:
        self.channel = channel
        self.namespace = namespace
        self._host = host
        self._window = namespace.window_ms / 1000
        self._conflates = namespace.conflate is Conflate.KEY
        self._groups: dict[str, Group] = {}
        self._size = 0
        self._pending: list[Publication] = []
        self._jobs: deque[tuple[list[Write], bytes]] = deque()
        self._scheduled = False
        self._since = 0.0
        self._flushed_at = float("-inf")
        self._events: PresenceEvents | None = None  # made when needed: most channels have none

    def __len__(self) -> int:
        return self._size

    # What the hub tells

    def deliver(self, publication: Publication) -> None:
        """The next publication for everyone here."""
        if publication.token and self._echo(publication):
            return
        if not self._pending:
            self._since = self._host.now()
        self._pending.append(publication)
        if not self._scheduled:
            self._schedule()

    def signal(self, entry: Entry) -> None:
        """An ephemeral message, join, leave or typing."""
        if entry.type is EntryType.EPHEMERAL:
            assert entry.publication is not None
            self.deliver(entry.publication)
            return
        self.flush()
        if entry.type is EntryType.TYPING:
            self._events_of().typing(entry.fragment)
        else:
            self._events_of().joined_or_left(SIGNALS[entry.type], entry.fragment)

    def reset(self, epoch: str, offset: int, *, began: int, reason: str) -> None:
        """Continuity is lost for everyone here; live messages follow from `offset` + 1."""
        self.flush()
        position = Position(epoch, offset)
        for group in list(self._groups.values()):  # a slow consumer may be closed for it
            event = wire_format.reset(
                group.wire_format, self.channel, position, began=began, reason=reason
            )
            group.stale = True
            for subscription in list(group.subscriptions):
                subscription.session.end_lag(subscription)
                subscription.session.reset(subscription, position, event)
        self._host.metrics.reset(self.namespace.name, reason, len(self))

    def add(self, subscriber: Subscription, joined: Joined) -> None:
        """A subscriber that has everything up to `joined` and gets what follows."""
        if self._pending or self._jobs:
            self.flush()  # what waits for the window is in the newcomer's past
        session = subscriber.session
        group = self._groups.get(session.wire_format.name)
        if group is None:
            group = self._groups[session.wire_format.name] = Group(session.wire_format)
        group.subscriptions[subscriber] = None
        group.stale = True
        self._size += 1
        subscriber.joined = True
        subscriber.audience = self
        self._host.counted(self.channel, self._size)
        self._host.metrics.subscriptions_of[self.namespace.name].inc()
        session.joined(subscriber, joined)

    def remove(self, subscriber: Subscription) -> None:
        """A subscriber that gets nothing more."""
        group = self._groups.get(subscriber.session.wire_format.name)
        if group is None or subscriber not in group.subscriptions:
            return
        if (self._pending or self._jobs) and not subscriber.session.is_closed:
            self.flush()
        subscriber.session.end_lag(subscriber)
        del group.subscriptions[subscriber]
        self._size -= 1
        group.stale = True
        subscriber.audience = None
        self._host.counted(self.channel, self._size)
        self._host.metrics.subscriptions_of[self.namespace.name].dec()
        if not group.subscriptions:
            del self._groups[subscriber.session.wire_format.name]

    def refuse(self, subscriber: Subscription, error: OpenlineError) -> None:
        """A subscriber that could not join."""
        subscriber.session.refused(subscriber, error)

    # What sessions tell

    def regroup(self, session: Subscriber) -> None:
        """The session became hindered or unhindered."""
        group = self._groups.get(session.wire_format.name)
        if group is not None:
            group.stale = True

    def catch_up(self, subscription: Subscription) -> None:
        """The lagging subscription's connection has drained: of each key the newest publication, or a reset."""
        session, lag = subscription.session, subscription.lag
        if lag is None or subscription.audience is not self or session.is_stalled:
            return
        self.flush()
        position = self._host.position(self.channel)
        if position is None:
            self._host.later(CATCH_UP_SECONDS, partial(self.catch_up, subscription))
            return
        while lag and not session.is_stalled:
            session.catch_up(subscription, lag.take())
        if lag or session.is_closed:
            return  # stalled again: the rest when it has drained
        session.end_lag(subscription)
        self.regroup(session)
        missed = lag.missed(position.offset)
        if position.epoch == lag.epoch and missed <= 0:
            return
        newest = self._host.newest(self.channel)
        if (
            newest is None
            or newest.offset != position.offset
            or newest.epoch != lag.epoch
            or newest.token.partition(".")[0] == session.id  # its ack came: it cannot come again
        ):
            session.reset(subscription, position, self.lagged(session.wire_format, position))
            self._host.metrics.reset(self.namespace.name, "lagged", 1)
            return
        session.catch_up(subscription, [(newest, missed - 1)])

    def lagged(self, wire: WireFormat, position: Position) -> bytes:
        """The event for one that is at `position` again and was not sent all before it."""
        began = self._host.began(self.channel)
        return wire_format.reset(wire, self.channel, position, began=began, reason="lagged")

    def flush(self) -> None:
        """Write everything that waits, now."""
        while self._jobs:
            self._slice(len(self._jobs[0][0]))
        if self._pending:
            self._sweep()
            while self._jobs:
                self._slice(len(self._jobs[0][0]))

    # Sweeping

    def _schedule(self) -> None:
        self._scheduled = True
        # A quiet channel's message leaves at once. Else the first that waits opens the window, so that none waits longer:
        # counted from the sweep before, a window of 10 ms would join two messages that are 5 ms apart instead of three.
        quiet = self._since - self._flushed_at >= self._window
        wait = 0.0 if quiet else self._since + self._window - self._host.now()
        if wait <= 0:
            self._host.soon(self._due)
        else:
            self._host.later(wait, self._due)

    def _due(self) -> None:
        self._scheduled = False
        if self._jobs:
            self._slice(SLICE)
            self._go_on()
        elif self._pending:
            self._sweep()

    def _go_on(self) -> None:
        """Come back for what is left. Once: a second chain of turns would never end while messages come."""
        if self._scheduled:
            return
        if self._jobs:
            self._scheduled = True
            self._host.soon(self._due)
        elif self._pending:
            self._schedule()

    def _sweep(self, without: Subscription | None = None) -> None:
        publications, self._pending = self._pending, []
        self._flushed_at = self._host.now()
        several = self._conflates and len(publications) > 1
        counting = conflate(publications) if several else publications
        written = left_out = 0
        for group in list(self._groups.values()):  # closing a slow consumer may end its group
            if group.stale:
                group.refresh()
            message = group.wire_format.message
            told: Sequence[Publication] = publications
            if counting is not publications and group.wire_format.numbers:
                told = counting
                left_out += len(group.subscriptions) * (len(publications) - len(told))
            frames = [message(self.channel, publication) for publication in told]
            frame = frames[0] if len(frames) == 1 else b"".join(frames)
            written += len(group.subscriptions) * len(told)
            if without is not None and without in group.subscriptions:
                self._write_others(group, frame, publications, without)
                continue
            for subscription in group.hindered:
                if not self._offer(subscription, frame, told):
                    self._lag(subscription, publications)
            if group.writes:
                self._jobs.append((group.writes, frame))
        if self._jobs:
            self._slice(SLICE)
        self._host.metrics.swept(self.namespace.name, counting, written)
        if left_out:
            self._host.metrics.conflated_of[self.namespace.name].inc(left_out)
        self._go_on()

    def _slice(self, limit: int) -> None:
        while self._jobs and limit > 0:
            writes, frame = self._jobs.popleft()
            if len(writes) > limit:
                self._jobs.appendleft((writes[limit:], frame))
                writes = writes[:limit]
            limit -= len(writes)
            for write in writes:
                write(frame)

    def _write_others(
        self, group: Group, frame: bytes, publications: Sequence[Publication], without: Subscription
    ) -> None:
        for subscription in list(group.subscriptions):
            if subscription is not without and not self._offer(subscription, frame, publications):
                self._lag(subscription, publications)

    def _offer(
        self, subscription: Subscription, frame: bytes, publications: Sequence[Publication]
    ) -> bool:
        """Write to a subscriber that may be opening, dressing its own events, or stalled; False when it is behind."""
        session = subscription.session
        stalled = session.is_stalled
        if subscription.lag is not None or (stalled and not self._keeps(session, len(frame))):
            return False
        session.send(session.personalize(subscription, publications, frame))
        return True

    def _keeps(self, session: Subscriber, size: int) -> bool:
        """Whether a stalled session still gets a frame of this size; a full one may be closed for it."""
        keeps = self.namespace.slow is not Slow.LATEST and not session.full(size)
        if not keeps:
            self._host.metrics.slow(self.namespace.name, self.namespace.slow)
        if not keeps and self.namespace.slow is Slow.DISCONNECT:
            session.close(Close.SLOW_CONSUMER, "slow consumer: read faster or subscribe to less")
        return keeps

    def _lag(self, subscription: Subscription, publications: Sequence[Publication]) -> None:
        """Keep what was not written, for the time when its connection has drained."""
        session = subscription.session
        if session.is_closed or self.namespace.slow is Slow.DISCONNECT:
            return
        superseded = 0
        for publication in publications:
            if not publication.offset:
                continue
            if subscription.lag is None:
                before = Position(publication.epoch, publication.offset - 1)
                session.fall_behind(subscription, Lag(before, self._host.lag_budget))
            assert subscription.lag is not None
            superseded += subscription.lag.keep(publication)
        if superseded:
            self._host.metrics.conflated_of[self.namespace.name].inc(superseded)

    def _echo(self, publication: Publication) -> bool:
        """Deliver an `echo: false` publication whose sender is here and waits: its ack takes the message's place."""
        sender = self._host.session(publication.token.partition(".")[0])
        subscription = sender.subscriptions.get(self.channel) if sender else None
        if sender is None or subscription is None or not subscription.joined:
            return False
        if not sender.awaits(publication.token):
            return False
        self.flush()
        if subscription.lag is not None:
            subscription.lag.acked(publication)
        self._pending.append(publication)
        self._sweep(without=subscription)
        sender.echoed(publication)
        return True

    # Presence and typing

    def _events_of(self) -> PresenceEvents:
        if self._events is None:
            self._events = PresenceEvents(self._host, self._signal_all)
        return self._events

    def _signal_all(self, event: str, fragment: bytes, to: Callable[[Subscriber], bool]) -> None:
        for group in list(self._groups.values()):
            frame = group.wire_format.signal(event, self.channel, fragment)
            if not frame:
                continue
            writes: list[Write] = []
            for session in [subscription.session for subscription in group.subscriptions]:
                # At most once: one whose buffer is not drained misses it.
                if to(session) and not session.is_stalled:
                    if session.opening is None:
                        writes.append(session.write)
                    else:
                        session.send(frame)
            if writes:
                self._jobs.append((writes, frame))
        if self._jobs:
            self._slice(SLICE)
        self._go_on()
