"""Time in which nobody stood still: what an upper bound on time is held against where machines are busy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self

_TICK = 0.05


async def _nothing() -> None: ...


class Lived:
    """Seconds, in ticks of a twentieth, in which this loop ran and whatever `probe` asks answered. A context manager.

    However long a tick is kept waiting, by a loop that does not run or an answer that does not come, it counts once. So
    what waits for a timer of its own costs its seconds here too, and what stands still with all the rest costs nothing.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]] = _nothing) -> None:
        self._probe = probe
        self._ticks = 0

    @property
    def seconds(self) -> float:
        """Seconds so far, those of the tick that has begun included."""
        return (self._ticks + 1) * _TICK

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            await self._probe()
            self._ticks += 1

    async def __aenter__(self) -> Self:
        self._counting = asyncio.create_task(self._count())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._counting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._counting  # or a probe that has failed would let anything pass
