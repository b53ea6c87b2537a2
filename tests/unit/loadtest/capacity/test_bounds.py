"""What ended a trial is what had nothing left, and is never guessed."""

from __future__ import annotations

from typing import Any

import pytest

from loadtest.capacity.bounds import bound
from loadtest.capacity.figures import Crowd, Slo, Step

SLO = Slo(200)
IDLE = {"gateway": 0.3, "gateway-2": 0.1, "redis": 0.2, "publisher": 0.2}


def step(*, p99: float = 300, arrived: float = 1, gaps: int = 0, **used: float) -> Step:
    more = {name: used.pop(name) for name in ("driver", "machine") if name in used}
    return Step(9000, 9000, 90, 5, p99, arrived, gaps, {**IDLE, **used}, **more)


def test_a_step_that_held_ended_nothing() -> None:
    assert bound(step(p99=100, gateway=0.99), SLO) is None


@pytest.mark.parametrize(
    ("used", "by"),
    [
        ({"gateway": 0.95}, ["gateway CPU"]),
        ({"redis": 0.93, "machine": 0.99}, ["Redis CPU"]),
        ({"publisher": 0.9}, ["publisher CPU"]),
        ({"driver": 0.97, "machine": 0.99}, ["load generator"]),
        ({"gateway": 0.95, "driver": 0.97}, ["gateway CPU", "load generator"]),
        ({"machine": 0.97}, ["machine"]),
        ({"machine": 0.7}, ["latency"]),
        ({"p99": 90, "gaps": 3}, ["errors"]),
        ({"p99": 90, "arrived": 0.9}, ["errors"]),
        ({"p99": 90, "gaps": 3, "redis": 0.95}, ["Redis CPU"]),
    ],
)
def test_what_was_used_up_is_named(used: dict[str, Any], by: list[str]) -> None:
    found = bound(step(**used), SLO)
    assert found
    assert list(found.by) == by


def test_it_says_how_the_objective_broke_and_what_would_carry_more() -> None:
    found = bound(step(redis=0.95), SLO)
    assert found
    assert found.text == (
        "**Redis CPU** ended it (p99 300 ms is over 200 ms): partitions on more servers carry more."
    )


def test_connections_end_as_deliveries_do() -> None:
    crowd = Crowd(9000, 400, 900, 60, 5, 0.95, 300, 1, 0)
    assert bound(crowd, SLO) == bound(step(gateway=0.95), SLO)
    waiting = bound(crowd._replace(core=0.2), SLO)
    assert waiting
    assert waiting.by == ("latency",)
