"""Slices of the event loop's turns: whatever ten thousand connections send, or open and close at once, others have theirs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

SLICE = 0.003
"""Seconds of a turn. Longer slices delay the other connections, shorter ones make the loop turn for nothing."""

SHARE = 0.0002
"""Seconds of a slice that a connection may read for while others wait."""


class Slicer:
    """Shares out one slice of each turn of the loop among all connections.

    Connections that send little are read first. Then those that send much and all other work alternate, each in order; at least one of
    both is served in a turn. Nothing is refused here: work that waits too long must notice that itself. What a piece of work
    raises goes to the loop's exception handler, and the rest goes on.
    """

    __slots__ = ("_brief", "_busy", "_loop", "_others", "_until", "_used", "clock")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        # Not the loop's clock: uvloop's counts milliseconds.
        self.clock = clock
        self._loop = loop
        self._brief: deque[Callable[[], None]] = deque()
        self._busy: deque[Callable[[], None]] = deque()
        self._others: deque[Callable[[], None]] = deque()
        self._until = 0.0
        self._used = False  # a slice has begun; the next turn begins another, or none

    def add(self, work: Callable[[], None]) -> None:
        """Run it from the loop's next turn on."""
        self._others.append(work)
        self._begin()

    def add_reading(self, work: Callable[[], None], *, busy: bool) -> None:
        """Read for a connection from the loop's next turn on; `busy`: it sends much."""
        (self._busy if busy else self._brief).append(work)
        self._begin()

    def has_time(self) -> bool:
        """Whether this turn's slice has time left for a connection that has just been sent something."""
        if not self._used:
            self._begin()
            return True
        return self.clock() < self._until

    def until(self) -> float:
        """When a connection that begins to read now must stop, by the clock: with the slice, or sooner if others wait."""
        share = self.clock() + SHARE
        if self._brief or self._busy or self._others:
            return share
        return max(share, self._until)

    def _begin(self) -> None:
        if not self._used:
            self._used = True
            self._until = self.clock() + SLICE
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        brief, busy, others = self._brief, self._busy, self._others
        self._used = False
        if not (brief or busy or others):
            return
        self._begin()
        while brief and self.clock() < self._until:
            brief.popleft()()
        while busy or others:
            for queue in (busy, others):
                if queue:
                    queue.popleft()()
            if self.clock() >= self._until:
                break
