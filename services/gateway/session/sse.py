"""Sessions of `/sse`: several channels on one HTTP response, recovered through the id of the last event."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.gateway.fanout.lag import Kept
from services.gateway.fanout.subscriber import Subscription
from services.gateway.fanout.wire_format import SSE
from services.gateway.hub.port import Joined
from services.gateway.session.heartbeat import Due, Heartbeat
from services.gateway.session.port import Host
from services.gateway.session.session import Session
from services.gateway.websocket import Connection
from services.kernel.domain.codes import Close, Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from services.kernel.protocol import sse

HEARTBEAT = 15.0
"""Seconds between comments, at most: half of the shortest idle time-outs that proxies are known for."""

RETRY_MS = (1_000, 3_000)
"""Milliseconds that a reader is told to wait before it returns: between these, so that not all return at once."""

LIMIT_SECONDS = 10.0
"""At least so long waits the reader of a stream that was one too many of its user, and at most twice as long."""

OVERLOAD_SECONDS = 3.0
"""The same where there was too much to do, or the fleet as a whole had one too many of its user or address."""


class Comments(Heartbeat):
    """The pulse of a stream: its reader cannot answer, so what keeps the connection is that writing works."""

    __slots__ = ()

    def next(self, now: float, *, received: float, limits: Limits) -> float:  # noqa: ARG002
        """See Pulse."""
        return now + _pause(limits)

    def due(self, now: float, *, received: float, limits: Limits) -> Due:  # noqa: ARG002
        """See Pulse."""
        if now - self.pinged_at < _pause(limits):
            return Due.NOTHING
        self.pinged_at = now
        return Due.PING


class StreamSession(Session):
    """Reads nothing, so each event that moves a channel carries an id with the positions of all of them.

    An id can be written only when every channel has answered: one that lacks a channel would recover the others alone,
    and what that channel missed would be a silent gap. `_held` says where ids go into what waits until then.
    """

    __slots__ = ("_at", "_channels", "_held", "_places")

    personalizes = True
    transport = "sse"
    heartbeat_type = Comments

    def __init__(
        self,
        node: Host,
        connection: Connection,
        channels: Sequence[str],
        at: Mapping[str, Position],
    ) -> None:
        super().__init__(node, connection, SSE)
        self._channels = channels
        self._at = dict(at)
        self._held: list[tuple[int, str, Position]] | None = None
        self._places: Mapping[str, Position] = {}

    def wanted(self, since: Mapping[str, Position]) -> Iterable[tuple[str, Position | None, int]]:
        """The channels of the URL, each from where the cursor says."""
        del since
        for channel in self._channels:
            yield channel, self._at.get(channel), 0

    def greet(self, places: Mapping[str, Joined]) -> None:
        """`subscribed` for each channel, the first with the hint for reconnecting.

        A block of the hint alone would be an empty message to some readers (httpx-sse).
        """
        # Each channel's own place, not where its replay ends: that follows behind.
        at = {c: Position(joined.epoch, joined.offset) for c, joined in places.items()}
        self._places = at
        hint = sse.retry(random.randrange(*RETRY_MS))  # noqa: S311 - spreads returns, hides nothing
        for channel, joined in places.items():
            self.write(hint + self._subscribed(channel, joined, at))
            hint = b""

    def released(self, frames: bytearray) -> bytes:
        """See Session; each held event gets its id, now that every channel's place is known."""
        assert self.opening is None
        held, self._held = self._held or [], None
        at, self._places = dict(self._places), {}
        parts: list[bytes] = []
        begin = 0
        for start, channel, position in held:
            parts.append(bytes(frames[begin:start]))
            at[channel] = position
            parts.append(_id(at))
            begin = start
        return b"".join([*parts, bytes(frames[begin:])])

    def _subscribed(self, channel: str, joined: Joined, at: Mapping[str, Position]) -> bytes:
        fields: dict[str, Any] = {"channel": channel, **joined.fields()}
        count = self.subscriptions[channel].count if channel in self.subscriptions else None
        if count is not None:
            fields["count"] = count.count
        return _id(at) + self.wire_format.event("subscribed", fields)

    def joined(self, subscription: Subscription, joined: Joined) -> None:
        """See Session."""
        self._at[subscription.channel] = Position(joined.epoch, joined.offset)
        super().joined(subscription, joined)

    def acknowledge(self, subscription: Subscription, joined: Joined) -> None:
        """`subscribed`, for a channel that the back end added."""
        self.send(self._subscribed(subscription.channel, joined, self._at))

    def refused(self, subscription: Subscription, error: OpenlineError) -> None:
        """See Session."""
        if not self.is_closed:
            self.send(self.wire_format.error(None, error))
        super().refused(subscription, error)

    def personalize(
        self,
        subscription: Subscription,
        publications: Sequence[Publication],
        frame: bytes,
    ) -> bytes:
        """Each message with the id that recovers all channels from behind it."""
        del frame
        return self._blocks(
            subscription.channel, [(publication, 0) for publication in publications]
        )

    def catch_up(self, subscription: Subscription, kept: Sequence[Kept]) -> None:
        """See Subscriber."""
        self.send(self._blocks(subscription.channel, kept))

    def _blocks(self, channel: str, kept: Sequence[Kept]) -> bytes:
        parts: list[bytes] = []
        size = 0
        for publication, skipped in kept:
            if skipped:
                block = self.wire_format.skipped(channel, publication, skipped)
            else:
                block = self.wire_format.message(channel, publication)
            if publication.offset:
                position = Position(publication.epoch, publication.offset)
                block = self._moved(channel, position, block, behind=size)
            parts.append(block)
            size += len(block)
        return b"".join(parts)

    def _moved(self, channel: str, position: Position, block: bytes, *, behind: int = 0) -> bytes:
        """A block that moves a channel, with its id. `behind`: bytes of the same frame before it."""
        self._at[channel] = position
        if self.opening is None:
            return _id(self._at) + block
        if self._held is None:
            self._held = []
        self._held.append((len(self.opening.frames) + behind, channel, position))
        return block

    def reset(self, subscription: Subscription, position: Position, event: bytes) -> None:
        """See Session; the id moves with it, or a return would be told once more."""
        self.send(self._moved(subscription.channel, position, event))

    def drop(self, subscription: Subscription, *, linger: bool = False) -> None:
        """See Session."""
        super().drop(subscription, linger=linger)
        if not self.is_closed:
            self._at.pop(subscription.channel, None)

    def direct(self, data: bytes, ts: int) -> None:
        """See Session."""
        self.send(sse.block("direct", b'{"type":"direct","data":%b,"ts":%d}' % (data, ts)))

    def ping(self) -> None:
        """A comment; also while channels are still being recovered, so that no proxy takes the stream for dead."""
        self.write(sse.HEARTBEAT)

    def probe(self, since: float) -> bool:  # noqa: ARG002
        """See Session. Whoever reads a stream cannot answer."""
        return False

    def close(self, code: int, reason: str = "") -> None:
        """See Session; the last event says why, since the end of a response has no code."""
        problem = _problem(code, reason)
        if self.opened and not self.is_closed and problem is not None:
            # Not sent: what is held until the session is open would never leave.
            self.write(_hint(problem) + self.wire_format.error(None, problem))
        super().close(code, reason)


def _problem(code: int, reason: str) -> OpenlineError | None:
    """What a close code means to a reader; None where `reconnect` or `expiring` has told it before."""
    if code in (Close.DRAINING, Close.TOKEN_EXPIRED):
        return None
    if code in (Close.UNAUTHORIZED, Close.REVOKED):
        return OpenlineError(Code.UNAUTHORIZED, reason)
    if code == Close.CONNECTION_LIMIT:
        return OpenlineError(Code.RATE_LIMITED, reason, retry_after=LIMIT_SECONDS)
    if code == Close.OVERLOADED:
        return OpenlineError(Code.UNAVAILABLE, reason, retry_after=OVERLOAD_SECONDS)
    stays_away = Close.BAD_REQUEST <= code < Close.DRAINING
    return OpenlineError(Code.FORBIDDEN if stays_away else Code.UNAVAILABLE, reason)


def _hint(problem: OpenlineError) -> bytes:
    """How long to wait, where it is longer than usual."""
    if problem.retry_after is None:
        return b""
    seconds = random.uniform(problem.retry_after, 2 * problem.retry_after)  # noqa: S311 - spreads returns
    return sse.retry(int(1000 * seconds))


def _pause(limits: Limits) -> float:
    return min(HEARTBEAT, limits.ping_seconds)


def _id(at: Mapping[str, Position]) -> bytes:
    """The line of the next block that recovers all channels from behind it."""
    return b"id: %b\n" % sse.encode_cursor(at).encode()
