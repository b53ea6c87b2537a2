"""Which channels a resync still has to compare, and when the next of them may be asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from services.gateway.hub.channel import Channel
from services.gateway.hub.port import HubLimits

QUEUED = float("inf")
"""`due` of a channel that waits here: no time of its own."""


class ResyncQueue:
    """Channels in their order, a batch at a time: the next one leaves as long after the answer to the last one as that took,
    and not before its spacing is over: where the answer was slow, others wait as well. After a failover every gateway compares all that it has, and what others publish waits behind that.
    """

    __slots__ = ("_call", "_channels", "_failures", "_limits", "_next", "_sent")

    def __init__(self, limits: HubLimits) -> None:
        self._limits = limits
        self._channels: deque[Channel] = deque()
        self._call: int | None = None
        self._next = self._sent = 0.0
        self._failures = 0

    def begin(self, channels: Iterable[Channel], now: float) -> None:
        """Compare these from now on; what an earlier resync had left is among them or gone."""
        self._channels = deque(channels)
        for channel in self._channels:
            channel.due = QUEUED
        self._call = None
        self._next = now
        self._failures = 0

    @property
    def next(self) -> float | None:
        """When a batch is due; None when there is none, or one is under way."""
        return self._next if self._channels and self._call is None else None

    def pop_due(self, now: float) -> list[Channel]:
        """Take the batch that is due, without those that were looked at meanwhile; tell with `sent` what became of it."""
        taken: list[Channel] = []
        if self._call is not None or self._next > now:
            return taken
        while self._channels and len(taken) < self._limits.resync_batch:
            channel = self._channels.popleft()
            if channel.due == QUEUED:
                channel.due = None
                taken.append(channel)
        return taken

    def sent(self, call: int, now: float, *, gateways: int) -> None:
        """A batch went out with a call, in a fleet of this many gateways."""
        self._call = call
        self._sent = now
        self._next = now + self._limits.spacing * max(1.0, gateways / self._limits.spaced)

    def answered(self, call: int, now: float) -> bool:
        """Whether a call was the one that is waited for. The next batch may go after a pause."""
        if call != self._call:
            return False
        self._call = None
        self._next = max(self._next, now + (now - self._sent))
        return True

    def succeeded(self) -> None:
        """The store answers."""
        self._failures = 0

    def put_back(self, channels: Iterable[Channel], now: float) -> None:
        """A batch failed: it is the next one again, after a pause. All others wait as well: the store is down for them too."""
        again = list(channels)
        for channel in again:
            channel.due = QUEUED
        self._channels.extendleft(reversed(again))
        limits = self._limits
        pause = min(limits.backoff_max, limits.backoff * 2 ** min(self._failures, 16))
        self._failures += 1
        self._next = max(self._next, now + pause)
