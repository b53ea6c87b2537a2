"""Where growing load breaks, and what one of each costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.capacity.figures import (
    Crowd,
    Slo,
    Step,
    dearest,
    delivery_us,
    knee,
    message_us,
    per_connection_kb,
)

SLO = Slo(200)


IDLE = {"gateway": 0.01, "gateway-2": 0.01, "redis": 0.02}


def step(rate: float, *, p99: float = 10, arrived: float = 1, gaps: int = 0, us: float = 8) -> Step:
    """A gateway that needs 8 us a delivery, a bus that costs 20 us a message, each read by 100."""
    bus = IDLE["gateway"] + rate / 100 * 20e-6
    redis = IDLE["redis"] + rate / 100 * 50e-6
    cores = {"gateway": bus + rate * us * 1e-6, "gateway-2": bus, "redis": redis}
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


def test_how_high_the_knee_is_does_not_change_what_a_delivery_costs() -> None:
    # As measured: what is close in time leaves as one, so the same gateway gets cheaper while load grows.
    steps = [step(5_000, us=15), step(20_000, us=9), step(60_000, us=4.8)]
    for highest in (1, 2, 3):
        cost = dearest(steps[:highest], SLO, delivery_us)
        assert cost.us == pytest.approx(15)
        assert cost.step.rate == 5_000


def test_a_step_that_breaks_the_slo_has_no_say() -> None:
    steps = [step(5_000), step(10_000, us=12), step(20_000, us=40, p99=300), step(40_000, us=50)]
    assert dearest(steps, SLO, delivery_us).step.rate == 10_000


def test_the_first_step_has_when_none_held_the_slo() -> None:
    assert dearest(STEPS, Slo(5), delivery_us).step is STEPS[0]


def test_a_delivery_costs_what_a_gateway_without_readers_does_not_use() -> None:
    assert delivery_us(step(20_000)) == pytest.approx(8)


@pytest.mark.parametrize("rate", [100, 5_000, 60_000])
def test_a_message_costs_what_a_program_uses_over_nothing(rate: float) -> None:
    assert message_us(step(rate), IDLE, "redis") == pytest.approx(50)
    assert message_us(step(rate), IDLE, "gateway-2") == pytest.approx(20)


def test_a_program_that_was_busier_before_has_all_counted() -> None:
    assert message_us(step(10_000), {"redis": 0.9}, "redis") == pytest.approx(250)


@given(st.lists(st.integers(1, 50_000), min_size=1, max_size=9, unique=True))
def test_memory_of_a_connection_is_the_slope_from_nobody(counts: list[int]) -> None:
    crowds = [crowd(count) for count in sorted(counts)]
    assert per_connection_kb(crowds, "gateway") == pytest.approx(8)
