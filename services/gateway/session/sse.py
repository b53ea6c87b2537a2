"""Sessions of `/sse`: several channels on one HTTP response, recovered through the id of the last event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.gateway.fanout.subscriber import Subscription
from services.gateway.fanout.wire_format import SSE
from services.gateway.hub.port import Joined
from services.gateway.session.heartbeat import Due, Heartbeat
from services.gateway.session.port import Host
from services.gateway.session.session import Session
from services.gateway.websocket.interface import Connection
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from services.kernel.protocol import sse

HEARTBEAT = 15.0
"""Seconds between comments, at most: half of the shortest idle time-outs that proxies are known for."""

RETRY_MS = 2_000


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
    """Reads nothing, so each event that moves a channel carries an id with the positions of all of them."""

    __slots__ = ("_at", "_channels")

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

    def wanted(self, since: Mapping[str, Position]) -> Iterable[tuple[str, Position | None, int]]:
        """The channels of the URL, each from where the cursor says."""
        del since
        for channel in self._channels:
            yield channel, self._at.get(channel), 0

    def greet(self, places: Mapping[str, Joined]) -> None:
        """The hint for reconnecting, then `subscribed` for each channel."""
        self.write(sse.retry(RETRY_MS))
        # Each channel's own place, not where its replay ends: that follows behind.
        at = {c: Position(joined.epoch, joined.offset) for c, joined in places.items()}
        for channel, joined in places.items():
            self.write(self._subscribed(channel, joined, at))

    def _subscribed(self, channel: str, joined: Joined, at: Mapping[str, Position]) -> bytes:
        fields: dict[str, Any] = {"channel": channel, **joined.fields()}
        count = self.subscriptions[channel].count if channel in self.subscriptions else None
        if count is not None:
            fields["count"] = count.count
        return _with_id(self.wire_format.event("subscribed", fields), at)

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
        channel = subscription.channel
        parts: list[bytes] = []
        for publication in publications:
            block = self.wire_format.message(channel, publication)
            if publication.offset:
                self._at[channel] = Position(publication.epoch, publication.offset)
                block = _with_id(block, self._at)
            parts.append(block)
        return b"".join(parts)

    def caught_up(self, subscription: Subscription, publication: Publication, skipped: int) -> None:
        """See Session."""
        channel = subscription.channel
        self._at[channel] = Position(publication.epoch, publication.offset)
        block = self.wire_format.skipped(channel, publication, skipped)
        self.send(_with_id(block, self._at))

    def reset(self, subscription: Subscription, position: Position, event: bytes) -> None:
        """See Session; the id moves with it, or a return would be told once more."""
        self._at[subscription.channel] = position
        self.send(_with_id(event, self._at))

    def drop(self, subscription: Subscription, *, linger: bool = False) -> None:
        """See Session."""
        super().drop(subscription, linger=linger)
        if not self.is_closed:
            self._at.pop(subscription.channel, None)

    def direct(self, data: bytes, ts: int) -> None:
        """See Session."""
        self.send(sse.block("direct", b'{"type":"direct","data":%b,"ts":%d}' % (data, ts)))

    def ping(self) -> None:
        """A comment."""
        self.send(sse.HEARTBEAT)


def _pause(limits: Limits) -> float:
    return min(HEARTBEAT, limits.ping_seconds)


def _with_id(block: bytes, at: Mapping[str, Position]) -> bytes:
    return b"id: %b\n%b" % (sse.encode_cursor(at).encode(), block)
