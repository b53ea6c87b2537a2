"""How the number of users moves over a run: ramp, spike, soak."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

USERS = 100
LENGTH = 300.0
"""What a shape takes where Locust was given no number of users and no run time; seconds."""


class Step(NamedTuple):
    """So many users now, and how many may start or stop a second."""

    users: int
    rate: float


def ramp(at: float, users: int, length: float) -> int:
    """Evenly up to `users` over four fifths of the run, then held."""
    return _share(users, at / (0.8 * length))


def spike(at: float, users: int, length: float) -> int:
    """A fifth of them, in the middle third of the run all of them at once."""
    return users if length / 3 <= at < length * 2 / 3 else _share(users, 0.2)


def soak(at: float, users: int, length: float) -> int:
    """Up within a tenth of the run, a minute at the most, then held to the end."""
    return _share(users, at / min(60.0, 0.1 * length))


MOVES: dict[str, Callable[[float, int, float], int]] = {"ramp": ramp, "spike": spike, "soak": soak}


def step(name: str, *, at: float, users: int, length: float) -> Step | None:
    """The step at `at` seconds of `length`, None when it is over."""
    if at >= length:
        return None
    # A spike is one: everybody within two seconds.
    rate = users / 2 if name == "spike" else max(1.0, users / 10)
    return Step(MOVES[name](at, users, length), rate)


def _share(users: int, share: float) -> int:
    return max(1, min(users, math.ceil(users * share)))
