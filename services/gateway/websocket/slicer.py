"""Slices of the event loop's turns: ten thousand connections that open or close at once hold up nobody else."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

SLICE = 0.003
"""Seconds of a turn. Longer slices delay the other connections, shorter ones make the loop turn for nothing."""


class Slicer:
    """Runs work in order from the loop's next turn on, at most a slice of each turn.

    Nothing is refused here: a caller that waits too long must notice that itself. What a piece of work raises goes to
    the loop's exception handler, and the rest goes on.
    """

    __slots__ = ("_clock", "_loop", "_waiting")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        # Not the loop's clock: uvloop's stands still during a turn.
        self._clock = clock
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Run it soon."""
        self._waiting.append(work)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        waiting = self._waiting
        until = self._clock() + SLICE
        try:
            while True:
                # Removed only when done: work that it adds itself must not schedule a second turn.
                work = waiting[0]
                work()
                waiting.popleft()
                if not waiting or self._clock() >= until:
                    break
        except BaseException:
            waiting.popleft()
            raise
        finally:
            if waiting:
                self._loop.call_soon(self._turn)
