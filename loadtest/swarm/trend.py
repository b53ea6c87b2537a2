"""Whether something grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_SETTLING = 0.5
"""Share of a run that is left out: everybody arrives, and what is kept within bounds fills up to them."""


class Point(NamedTuple):
    """A value at a moment, in seconds."""

    at: float
    value: float


class Line(NamedTuple):
    """`base` at nothing, and `slope` more for each one."""

    base: float
    slope: float


class Trend(NamedTuple):
    """First and last value, and by how much a straight line through all of them rises in an hour."""

    first: float
    last: float
    hourly: float


def settled(points: Sequence[Point]) -> Sequence[Point]:
    """The points without those of the beginning."""
    return points[int(len(points) * _SETTLING) :]


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """The straight line through at least one point, by least squares; a level one when all lie above each other."""
    middle = sum(x for x, _ in points) / len(points)
    mean = sum(y for _, y in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    rise = sum((x - middle) * (y - mean) for x, y in points)
    slope = rise / spread if spread else 0.0
    return Line(mean - slope * middle, slope)


def trend(points: Sequence[Point]) -> Trend:
    """The trend of at least one point."""
    return Trend(points[0].value, points[-1].value, 3600 * fit(points).slope)
