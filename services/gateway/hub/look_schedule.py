"""Which channels are to be looked at, and when."""

from __future__ import annotations

from heapq import heappop, heappush

from services.gateway.hub.channel import Channel


class LookSchedule:
    """Channels by due time; each at most once, in the order they were put there where times are equal."""

    __slots__ = ("_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Channel]] = []
        self._order = 0

    @property
    def next(self) -> float | None:
        """When something may be due; None when nothing is."""
        return self._heap[0][0] if self._heap else None

    def put(self, channel: Channel, at: float) -> None:
        """Look at a channel at `at`; one that is due already stays where it is, so that nothing shortens a backoff."""
        if channel.due is None:
            self.move(channel, at)

    def move(self, channel: Channel, at: float) -> None:
        """Look at a channel at `at`, whenever it was due before."""
        channel.due = at
        self._order += 1
        heappush(self._heap, (at, self._order, channel))

    def pop_due(self, now: float) -> list[Channel]:
        """Take the channels that are due."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            at, _, channel = heappop(self._heap)
            if channel.due == at:
                channel.due = None
                taken.append(channel)
        return taken
