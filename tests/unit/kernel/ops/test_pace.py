"""Loops of one process are woken together, and processes in four groups."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.kernel.ops import pace


@pytest.mark.parametrize(
    ("passed", "left"),
    [(0.0, 0.25), (0.05, 0.2), (0.125, 0.125), (0.13, 0.37), (0.2499, 0.2501), (10.05, 0.2)],
)
def test_the_next_round_is_at_a_whole_multiple_half_a_period_ahead_at_least(passed, left):
    assert pace.ahead(0.25, passed) == pytest.approx(left)


def test_periods_of_different_length_meet():
    for passed in (0.0, 0.1, 0.3, 0.49, 7.77):
        for period in (0.25, 0.5, 1.0):
            end = passed + pace.ahead(period, passed)
            assert end / period == pytest.approx(round(end / period))
            assert period / 2 <= end - passed <= period * 1.5 + 1e-9


@pytest.mark.parametrize("clock", [0.0, 0.1, 1_796_000_000.26, 1_796_000_000.999])
def test_whole_seconds_of_all_who_began_are_on_a_quarter_of_the_clock(clock):
    begun = pace.counted_from(1000.0, clock)
    assert 1000.0 - 0.25 < begun <= 1000.0
    at = clock + pace.ahead(1.0, 1000.0 - begun)
    assert at * 4 == pytest.approx(round(at * 4))


async def test_pauses_that_begin_apart_end_together():
    """All within the time that it takes to ask, and a tenth of a period: a busy machine may pause between any two words."""
    begun = pace.BEGUN
    for _ in range(3):
        before = time.monotonic()
        left = pace.until_next(0.2)
        after = time.monotonic()
        nearest = round((before + left - begun) / 0.2) * 0.2 + begun
        assert before + left - 0.02 < nearest < after + left + 0.02
        await asyncio.sleep(0.03)


async def test_a_pause_lasts_until_then():
    begun = time.monotonic()
    await pace.pause(0.05)
    assert time.monotonic() - begun >= 0.02
