"""Shared deadlines: who is late is told once, and nobody waiting means no timer."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.websocket import sweep
from services.gateway.websocket.sweep import Sweep


class Item:
    def __init__(self, *, raises=False):
        self.expired = 0
        self.raises = raises

    def expire(self):
        self.expired += 1
        if self.raises:
            raise ValueError("a bug")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sweep, "PERIOD", 0.005)


async def settled(shared):
    while shared._timer is not None:  # noqa: ASYNC110 - the sweep has nothing to signal with
        await asyncio.sleep(0.001)


async def test_who_is_late_expires_once_and_the_timer_stops():
    shared = Sweep(asyncio.get_running_loop())
    late, kept = Item(), Item()
    shared.add(late, seconds=0.01)
    shared.add(kept, seconds=60)
    while not late.expired:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert not kept.expired
    shared.discard(kept)
    shared.discard(kept)
    await settled(shared)
    assert (late.expired, kept.expired) == (1, 0)


async def test_adding_again_moves_the_deadline():
    shared = Sweep(asyncio.get_running_loop())
    item = Item()
    shared.add(item, seconds=0)
    shared.add(item, seconds=0.03)
    await asyncio.sleep(0.015)
    assert not item.expired
    await settled(shared)
    assert item.expired == 1


async def test_an_item_that_raises_does_not_stop_the_clock_for_the_rest():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    shared = Sweep(loop)
    bad, good = Item(raises=True), Item()
    shared.add(bad, seconds=0)
    shared.add(good, seconds=0.02)
    await settled(shared)
    assert (bad.expired, good.expired) == (1, 1)
