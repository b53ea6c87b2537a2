"""Timers that fall together: a process that is woken once for several of them costs less than one that is woken for each."""

from __future__ import annotations

import asyncio
import time

BEGUN = time.monotonic()
"""When this process began, on the monotonic clock, which is the clock of asyncio's and uvloop's loops too."""


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
