"""What to do about answers that send us elsewhere in a cluster: the command did not run. No I/O, no clock."""

from __future__ import annotations

from typing import Any, NamedTuple

from redis.exceptions import AskError, MovedError, TryAgainError

from services.kernel.redis.slots import known
from services.kernel.redis.store_url import Address

SHORTEST = 0.02
LONGEST = 0.5
"""Seconds between two tries while a slot is moved."""

PATIENCE = 5.0
"""Seconds for which we try; then the call is refused as `unavailable`."""

REDIRECTS = (AskError, TryAgainError)
"""MOVED (an AskError of redis-py), ASK and TRYAGAIN. ASK is not followed: of a script's keys some lie on either side."""


def target(error: Exception) -> Address | None:
    """Where MOVED sends us; None for the others, and where it names no host."""
    if not isinstance(error, MovedError) or not known(error.host):
        return None
    return Address(error.host.strip("[]"), error.port)


class Waits:
    """When to try again: after MOVED at once, the first time; else after 20 ms, twice as long each time, 5 s in all."""

    def __init__(self, now: float) -> None:
        """`now` in seconds of the loop's clock, at the first of these answers."""
        self._end = now + PATIENCE
        self._next = SHORTEST
        self._first = True

    def pause(self, now: float, *, moved: bool) -> float | None:
        """Seconds until the next try; None when it is time to give up."""
        first, self._first = self._first, False
        if first and moved:
            return 0.0
        pause, self._next = self._next, min(LONGEST, self._next * 2)
        return pause if now + pause <= self._end else None


class Guard(NamedTuple):
    """A key that never exists, given to scripts that touch more keys than they are given.

    While a slot is moved key by key its old master refuses a command with TRYAGAIN or ASK if one of its keys is not
    there. Without the guard such a script would begin there, and fail in the middle at a key that has gone.
    """

    key: str
    scripts: frozenset[bytes]

    def cover(self, parts: tuple[Any, ...]) -> tuple[Any, ...]:
        """A command with the key behind its own, if it runs one of the scripts."""
        if parts[0] != b"EVALSHA" or parts[1] not in self.scripts:
            return parts
        end = 3 + parts[2]
        return (*parts[:2], parts[2] + 1, *parts[3:end], self.key, *parts[end:])
