"""Timers that fall together: a process that is woken once for several of them costs less than one that is woken for each."""

from __future__ import annotations

import asyncio
import time

QUARTER = 0.25
"""Seconds."""


def counted_from(now: float, clock: float) -> float:
    """The moment from which to count, for one who begins `now` (monotonic) when the wall clock shows `clock`; all in seconds.

    Whole seconds after it are on a quarter of a second of the clock: what a fleet's processes ask of a store each second comes
    in four bursts, for each of which it wakes once. All in one would make publishes wait in a large fleet.
    """
    return now - clock % QUARTER


BEGUN = counted_from(time.monotonic(), time.time())
"""About when this process began, on the monotonic clock, which is the clock of asyncio's and uvloop's loops too."""


def ahead(period: float, passed: float) -> float:
    """Seconds to the next whole multiple of `period` when so many have `passed`: from half a period to one and a half.

    Less than half would be two rounds in one, where a timer came a little early or a round took long.
    """
    left = period - passed % period
    return left if left >= period / 2 else left + period


def until_next(period: float) -> float:
    """The same from now on; all loops of this process count from when it began."""
    return ahead(period, time.monotonic() - BEGUN)


async def pause(period: float) -> None:
    """Sleep until then."""
    await asyncio.sleep(until_next(period))
