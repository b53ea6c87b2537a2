"""The loop says how late it is; a loop that hangs for long ends its process (tests/chaos)."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.gateway import watchdog
from services.gateway.watchdog import Watchdog


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watchdog, "PERIOD", 0.02)
    monkeypatch.setattr(watchdog, "PATIENCE", 1000)


async def seen(*, blocked: float) -> list[float]:
    delays: list[float] = []
    watching = asyncio.create_task(Watchdog(delay=delays.append).run())
    await asyncio.sleep(0)  # its first period begins
    time.sleep(blocked)  # noqa: ASYNC251 - a loop that is held up is what this is about
    async with asyncio.timeout(30):
        while not delays:  # noqa: ASYNC110 - nothing signals
            await asyncio.sleep(0.001)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return delays


async def test_a_loop_that_was_held_up_says_by_how_much():
    assert (await seen(blocked=0.3))[0] > 0.2


async def test_a_delay_is_never_below_nothing():
    assert min(await seen(blocked=0)) >= 0
