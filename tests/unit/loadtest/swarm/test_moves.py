"""How many users there are at each moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.swarm.moves import MOVES, step


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ramp", [1, 25, 50, 75, 100, 100]),
        ("spike", [20, 20, 100, 100, 20, 20]),
        ("soak", [1, 100, 100, 100, 100, 100]),
    ],
)
def test_users_move_as_the_shape_says(name: str, expected: list[int]) -> None:
    steps = [step(name, at=at, users=100, length=1000) for at in range(0, 1000, 200)]
    steps.append(step(name, at=999, users=100, length=1000))
    assert [one.users for one in steps if one] == expected


def test_a_soak_is_up_within_a_minute() -> None:
    at_last = step("soak", at=60, users=500, length=7200)
    before = step("soak", at=30, users=500, length=7200)
    assert at_last
    assert before
    assert (before.users, at_last.users) == (250, 500)


def test_a_spike_is_there_within_two_seconds() -> None:
    at_once = step("spike", at=50, users=500, length=100)
    assert at_once
    assert at_once.users / at_once.rate <= 2


@given(
    st.sampled_from(sorted(MOVES)),
    st.integers(1, 10_000),
    st.floats(1, 1e6),
    st.floats(0, 1.2),
)
def test_there_is_always_somebody_until_it_is_over(
    name: str, users: int, length: float, part: float
) -> None:
    found = step(name, at=part * length, users=users, length=length)
    assert (found is None) == (part * length >= length)
    if found:
        assert 1 <= found.users <= users
        assert found.rate > 0
