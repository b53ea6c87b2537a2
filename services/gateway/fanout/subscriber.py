"""A connection as fan-out sees it: what it is subscribed to, and what is written to it.

Writes are held until it was told `connected`, and bounded while its client does not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.gateway.fanout.backlog import Backlog
from services.gateway.fanout.lag import Kept, Lag
from services.gateway.fanout.wire_format import WireFormat
from services.gateway.hub.port import Joined
from services.gateway.websocket import Connection
from services.kernel.broker.port import Present
from services.kernel.domain.codes import Close, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

if TYPE_CHECKING:
    from services.gateway.fanout.audience import Audience


class Subscription:
    """Ties a subscriber to the audience of one channel.

    `lag` is there while the subscriber is behind. `server` marks one that the server made; `joined` one whose join has
    been answered; `present` one that was entered into presence, `count` the members counted then. `typed_at` is when its
    typing was last passed on, in seconds.
    """

    __slots__ = (
        "audience",
        "channel",
        "count",
        "id",
        "joined",
        "lag",
        "present",
        "server",
        "session",
        "typed_at",
    )

    def __init__(
        self,
        session: Subscriber,
        channel: str,
        *,
        id: int | str | None = None,
        server: bool = False,
    ) -> None:
        self.session = session
        self.channel = channel
        self.id = id
        self.server = server
        self.joined = False
        self.audience: Audience | None = None
        self.present = False
        self.count: Present | None = None
        self.lag: Lag | None = None
        self.typed_at = float("-inf")


class Opening:
    """Frames that must not overtake `connected`, and the places in the channels that it names.

    `awaited` are the subscriptions that have not been answered yet.
    """

    __slots__ = ("awaited", "frames", "places")

    def __init__(self) -> None:
        self.frames = bytearray()
        self.places: dict[str, Joined] = {}
        self.awaited: set[Subscription] = set()

    def awaits(self, subscription: Subscription) -> bool:
        """Whether `connected` waits for this subscription."""
        return subscription in self.awaited

    def answered(self, subscription: Subscription) -> bool:
        """Wait for it no longer; whether it was the last one."""
        self.awaited.discard(subscription)
        return not self.awaited

    def hold(self, frame: bytes, *, allowance: int) -> bool:
        """Keep a frame; False when it would be more than `allowance` bytes together."""
        if len(self.frames) + len(frame) > allowance:
            return False
        self.frames += frame
        return True


class Subscriber:
    """The side of a session that fan-out uses. Its base and not a part: a delivery stays one call, an idle session small.

    `opening` is there until the session was told `connected`, `backlog` while it is sent what it missed. `is_stalled`: its
    write buffer is above the high-water mark. `allowance`: bytes that may wait before it counts as full. `personalizes`:
    its messages differ from those of its neighbours.
    """

    __slots__ = (
        "_lagging",
        "allowance",
        "backlog",
        "connection",
        "is_closed",
        "is_stalled",
        "opening",
        "wire_format",
        "write",
    )

    personalizes = False

    id: str
    user: str | None
    subscriptions: dict[str, Subscription]

    def __init__(self, connection: Connection, wire_format: WireFormat, *, limit: int) -> None:
        self.connection = connection
        self.wire_format = wire_format
        self.write = connection.send_frame
        self.opening: Opening | None = Opening()
        self.backlog: Backlog | None = None
        self.is_stalled = False
        self.is_closed = False
        self.allowance = limit
        self._lagging: dict[Subscription, None] | None = None  # made when needed: most never lag

    @property
    def limit(self) -> int:
        """The allowance of one that was sent nothing that it has asked for. Not kept: it would be a word of each connection."""
        raise NotImplementedError

    @property
    def unhindered(self) -> bool:
        """Whether a sweep may just write to it."""
        ready = self.opening is None and self.backlog is None
        return ready and not self.is_stalled and not self.personalizes

    @property
    def unread(self) -> int:
        """Bytes that are held, or were written and have not left."""
        held = len(self.opening.frames) if self.opening is not None else 0
        waiting = self.backlog.size if self.backlog is not None else 0
        return self.connection.buffered() + held + waiting

    def send(self, frame: bytes) -> None:
        """Write a frame, or hold it while the session is opening. Closes a client that leaves too much unread."""
        if self.backlog is not None:
            self._send_behind(self.backlog, frame)
        elif self.opening is None:
            if self.is_stalled and self.full(len(frame)):
                self.close(Close.SLOW_CONSUMER, "slow consumer: read what you asked for")
            else:
                self.write(frame)
        elif not self.opening.hold(frame, allowance=self.allowance):
            self.close(Close.OVERLOADED, "too much arrived while the connection was opening")

    def _send_behind(self, backlog: Backlog, frame: bytes) -> None:
        if not self.full(len(frame)):
            backlog.add(frame)
        elif self.opening is None:
            self.close(Close.SLOW_CONSUMER, "slow consumer: read what you asked for")
        else:
            self.close(Close.OVERLOADED, "too much arrived while the connection was opening")

    def send_asked(self, frame: bytes) -> None:
        """Send what the client has asked for. Replaying a large history is not slow: raise the limit by its size."""
        self.allowance = max(self.allowance, self.unread + len(frame) + self.limit)
        self.send(frame)

    def replay(self, channel: str, publications: Sequence[Publication]) -> None:
        """Send a channel's publications that the client has asked for, in pieces as it reads; the limit as above."""
        if self.backlog is None:
            self.backlog = Backlog()
        self.backlog.replay(channel, publications)
        self.allowance = max(self.allowance, self.unread + self.limit)
        self.write_on()

    def write_on(self) -> None:
        """Write what waits, until the connection is stalled or nothing is left."""
        while self.backlog is not None and self.opening is None and not self.is_stalled:
            piece = self.backlog.take(self.wire_format)
            if piece:
                self.write(piece)
            else:
                self.backlog = None

    def full(self, size: int) -> bool:
        """Whether `size` more bytes exceed what may wait for it."""
        return self.unread + size > self.allowance

    def fall_behind(self, subscription: Subscription, lag: Lag) -> None:
        """A subscription is behind: let it catch up when the write buffer has drained."""
        subscription.lag = lag
        if self._lagging is None:
            self._lagging = {}
        self._lagging[subscription] = None

    def end_lag(self, subscription: Subscription) -> None:
        """A subscription is behind no more, or has ended."""
        lag, subscription.lag = subscription.lag, None
        if lag is not None and self._lagging is not None:
            lag.clear()
            del self._lagging[subscription]

    def stalled(self) -> None:
        """The write buffer rose above its high-water mark."""
        self.is_stalled = True

    def writable(self) -> None:
        """The write buffer has drained."""
        self.is_stalled = False
        self.write_on()
        if self.backlog is None:
            self.allowance = self.limit
        for subscription in list(self._lagging or ()):
            if subscription.audience is not None:
                subscription.audience.catch_up(subscription)

    def personalize(
        self,
        subscription: Subscription,  # noqa: ARG002 - for sessions that dress
        publications: Sequence[Publication],  # noqa: ARG002
        frame: bytes,
    ) -> bytes:
        """The frame as this session wants it."""
        return frame

    def catch_up(self, subscription: Subscription, kept: Sequence[Kept]) -> None:
        """What was kept of that which a subscription missed, in one write."""
        channel, wire = subscription.channel, self.wire_format
        frames = [
            wire.skipped(channel, publication, skipped)
            if skipped
            else wire.message(channel, publication)
            for publication, skipped in kept
        ]
        self.send(b"".join(frames))

    # What an audience calls

    def joined(self, subscription: Subscription, joined: Joined) -> None:
        """The hub has answered a subscription: its place in the channel, and what it missed."""
        raise NotImplementedError

    def refused(self, subscription: Subscription, error: OpenlineError) -> None:
        """The subscription cannot be had now."""
        raise NotImplementedError

    def reset(self, subscription: Subscription, position: Position, event: bytes) -> None:
        """Continuity of a channel is lost, and goes on from `position`; `event` says so to the client."""
        raise NotImplementedError

    def awaits(self, token: str) -> bool:
        """Whether an `echo: false` publish with this token waits for its delivery."""
        raise NotImplementedError

    def echoed(self, publication: Publication) -> None:
        """The awaited publication takes its place in the channel's order."""
        raise NotImplementedError

    def close(self, code: int, reason: str = "") -> None:
        """End the connection with a code that tells the client what to do."""
        raise NotImplementedError
