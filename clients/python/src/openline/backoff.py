"""How long to wait before the next attempt: full jitter over a bound that doubles. Pure: `random` is an argument."""

from __future__ import annotations

SOON_ENOUGH = 5.0
"""Seconds that a connection must have lived for the count of failures to begin anew."""

MAX_DOUBLINGS = 30


def wait(failures: int, *, base: float, cap: float, random: float, least: float = 0.0) -> float:
    """Seconds to wait after so many failures in a row; `random` is from 0 to 1, `least` what the server asks for."""
    return least + random * bound(failures, base=base, cap=cap)


def bound(failures: int, *, base: float, cap: float) -> float:
    """The longest wait after so many failures: `base` doubled for each, `cap` at most."""
    longest: float = min(cap, base * 2 ** min(failures, MAX_DOUBLINGS))
    return longest


def count(failures: int, *, lived: float) -> int:
    """The failures in a row after a connection that was online for `lived` seconds, 0 when it never was."""
    return 0 if lived >= SOON_ENOUGH else failures + 1
