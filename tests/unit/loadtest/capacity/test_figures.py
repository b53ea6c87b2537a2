"""Where growing load breaks, and what one of each costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.capacity.figures import (
    Crowd,
    Slo,
    Step,
    delivery_us,
    knee,
    per_connection_kb,
    per_message_us,
    planned,
)

SLO = Slo(200)


def step(rate: float, *, p99: float = 10, arrived: float = 1, gaps: int = 0) -> Step:
    """A gateway that needs 8 us a delivery, a bus that costs 20 us a message, each read by 100."""
    bus = 0.01 + rate / 100 * 20e-6
    cores = {"gateway": bus + rate * 8e-6, "gateway-2": bus, "redis": 0.02 + rate / 100 * 50e-6}
    return Step(rate, rate, rate / 100, 5, p99, arrived, gaps, cores)


def crowd(connections: int) -> Crowd:
    return Crowd(connections, 900, 400, connections * 0.008, 0.5, 0.1, 9, 1, 0)


STEPS = [step(10_000), step(20_000), step(40_000), step(80_000, p99=300), step(160_000)]


def test_the_knee_is_the_last_step_before_the_first_that_breaks() -> None:
    found = knee(STEPS, SLO)
    assert found
    assert found.rate == 40_000
    assert knee(STEPS, Slo(5)) is None


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (step(1, p99=201), "p99 201 ms is over 200 ms"),
        (step(1, arrived=0.97), "only 97.0% of what was offered came in time"),
        (step(1, gaps=2), "2 messages are missing"),
        (step(1), ""),
    ],
)
def test_each_way_to_break_is_named(broken: Step, why: str) -> None:
    assert SLO.broken(broken) == why


def test_costs_are_taken_within_the_planned_share_of_the_knee() -> None:
    assert planned(STEPS, SLO).rate == 20_000
    assert planned(STEPS, Slo(5)).rate == 10_000


def test_a_delivery_costs_what_a_gateway_without_readers_does_not_use() -> None:
    assert delivery_us(step(20_000)) == pytest.approx(8)


def test_a_message_costs_what_each_one_adds() -> None:
    assert per_message_us(STEPS, "redis") == pytest.approx(50)
    assert per_message_us(STEPS, "gateway-2") == pytest.approx(20)


def test_one_step_gives_an_average() -> None:
    (only,) = [step(10_000)]
    assert per_message_us([only], "redis") == pytest.approx(only.cores["redis"] / 100 * 1e6)


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=9, unique=True))
def test_memory_of_a_connection_is_the_slope_from_nobody(counts: list[int]) -> None:
    crowds = [crowd(count) for count in sorted(counts)]
    assert per_connection_kb(crowds, "gateway") == pytest.approx(8)
