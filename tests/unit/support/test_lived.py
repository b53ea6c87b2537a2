"""Time in which nobody stood still."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.lived import Lived


async def test_what_waits_for_a_timer_costs_its_seconds():
    async with Lived() as lived:
        while lived.seconds < 0.2:  # noqa: ASYNC110 - until the test's time is over
            await asyncio.sleep(0.01)


async def test_a_loop_that_stands_still_costs_one_look():
    async with Lived() as lived:
        await asyncio.sleep(0)
        before = lived.seconds
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is to stand
        await asyncio.sleep(0.01)
        assert lived.seconds - before < 0.2


async def test_an_answer_that_does_not_come_costs_one_look():
    answers = asyncio.Event()
    async with Lived(answers.wait) as lived:
        before = lived.seconds
        await asyncio.sleep(0.15)
        assert lived.seconds == before
        answers.set()
        while lived.seconds == before:  # noqa: ASYNC110 - until the test's time is over
            await asyncio.sleep(0.01)


async def test_a_probe_that_fails_lets_nothing_pass():
    async def probe():
        raise ValueError("a bug")

    async def bounded():
        async with Lived(probe) as lived:
            await asyncio.sleep(0.2)
            assert lived.seconds < 1

    with pytest.raises(ValueError, match="a bug"):
        await bounded()
