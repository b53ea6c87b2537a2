"""What is written to a connection: held while the session opens, bounded while its client does not read."""

from __future__ import annotations

from collections.abc import Sequence

from services.gateway.fanout.opening import Opening
from services.gateway.fanout.subscription import Subscription
from services.gateway.fanout.wire_format import Dialect
from services.gateway.websocket.interface import Connection
from services.kernel.domain.codes import Close
from services.kernel.domain.publications import Publication


class Outbox:
    """The writing side of a session. Its base and not a part of it: a delivery stays one call, an idle session small.

    `opening` is there until the session was told `connected`. `is_stalled`: its write buffer is above the high-water
    mark. `allowance`: bytes its buffer may hold before it counts as full. `dresses`: its messages differ from those of
    its neighbours.
    """

    __slots__ = (
        "_lagging",
        "_limit",
        "allowance",
        "connection",
        "dialect",
        "is_closed",
        "is_stalled",
        "opening",
        "write",
    )

    dresses = False

    def __init__(self, connection: Connection, dialect: Dialect, *, limit: int) -> None:
        self.connection = connection
        self.dialect = dialect
        self.write = connection.send_frame
        self.opening: Opening | None = Opening()
        self.is_stalled = False
        self.is_closed = False
        self.allowance = self._limit = limit
        self._lagging: set[Subscription] | None = None  # made when needed: most never lag

    @property
    def unhindered(self) -> bool:
        """Whether a sweep may just write to it."""
        return self.opening is None and not self.is_stalled and not self.dresses

    @property
    def unread(self) -> int:
        """Bytes that are held, or were written and have not left."""
        held = len(self.opening.frames) if self.opening is not None else 0
        return self.connection.buffered() + held

    def send(self, frame: bytes) -> None:
        """Write a frame, or hold it while the session is opening. Closes a client that leaves too much unread."""
        if self.opening is None:
            if self.is_stalled and self.full(len(frame)):
                self.close(Close.SLOW_CONSUMER, "slow consumer: read what you asked for")
            else:
                self.write(frame)
        elif not self.opening.hold(frame, allowance=self.allowance):
            self.close(Close.OVERLOADED, "too much arrived while the connection was opening")

    def send_asked(self, frame: bytes) -> None:
        """Send what the client has asked for: who recovers much is not slow, so the limit counts from behind it."""
        self.allowance = max(self.allowance, self.unread + len(frame) + self._limit)
        self.send(frame)

    def full(self, size: int) -> bool:
        """Whether `size` more bytes exceed what its buffer may hold."""
        return self.connection.buffered() + size > self.allowance

    def lag(self, subscription: Subscription) -> None:
        """A subscription is behind: let it catch up when the write buffer has drained."""
        if self._lagging is None:
            self._lagging = set()
        self._lagging.add(subscription)

    def forget(self, subscription: Subscription) -> None:
        """A subscription has ended: it is behind no more."""
        if self._lagging is not None:
            self._lagging.discard(subscription)

    def stalled(self) -> None:
        """The write buffer rose above its high-water mark."""
        self.is_stalled = True

    def writable(self) -> None:
        """The write buffer has drained."""
        self.is_stalled = False
        self.allowance = self._limit
        lagging, self._lagging = self._lagging, None
        for subscription in lagging or ():
            if subscription.audience is not None:
                subscription.audience.catch_up(subscription)

    def dress(
        self,
        subscription: Subscription,  # noqa: ARG002 - for sessions that dress
        publications: Sequence[Publication],  # noqa: ARG002
        frame: bytes,
    ) -> bytes:
        """The frame as this session wants it."""
        return frame

    def caught_up(self, subscription: Subscription, publication: Publication, skipped: int) -> None:
        """The newest publication after `skipped` that were left out."""
        if skipped:
            frame = self.dialect.skipped(subscription.channel, publication, skipped)
        else:
            frame = self.dialect.message(subscription.channel, publication)
        self.send(self.dress(subscription, (publication,), frame))

    def close(self, code: int, reason: str = "") -> None:
        """End the connection with a code that tells the client what to do."""
        raise NotImplementedError
