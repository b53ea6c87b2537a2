"""Whether something grows, and by how much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.swarm.trend import Point, Trend, settled, trend


@given(
    st.floats(-100, 100),
    st.floats(0, 500),
    st.lists(st.integers(0, 10_000), min_size=2, max_size=40, unique=True),
)
def test_the_slope_of_a_line_is_found(hourly: float, base: float, moments: list[int]) -> None:
    points = [Point(at, base + hourly * at / 3600) for at in sorted(moments)]
    assert trend(points).hourly == pytest.approx(hourly, abs=1e-3)


def test_one_point_has_no_slope() -> None:
    assert trend([Point(5, 7)]) == Trend(7, 7, 0)


def test_a_wave_is_no_growth() -> None:
    points = [Point(at, 100 + at % 2) for at in range(101)]
    assert abs(trend(points).hourly) < 0.01
    assert (trend(points).first, trend(points).last) == (100, 100)


def test_the_beginning_is_left_out() -> None:
    points = [Point(at, at) for at in range(10)]
    assert settled(points) == points[5:]
    assert settled(points[:1]) == points[:1]
