"""When a call is tried again, and when it is given up. Times come in as arguments, in seconds of a monotonic clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openline import backoff
from openline.errors import OpenlineError

KEY_LIFE = 300.0
"""Seconds for which the server remembers a key: a try after that could store a message twice."""

LEAST, MOST = 0.1, 2.0
"""Bounds of a wait in seconds, before what `Retry-After` asks for."""

SHORTEST = 0.05


@dataclass(frozen=True, slots=True)
class Policy:
    """How long one try may take, how many there are, and how long all of them together may take; in seconds."""

    timeout: float = 5.0
    attempts: int = 4
    patience: float = 10.0

    def __post_init__(self) -> None:
        if not (0 < self.timeout < KEY_LIFE and self.attempts >= 1 and self.patience > 0):
            raise ValueError(
                f"timeout must be above 0 and below {KEY_LIFE:.0f} s, attempts at least 1, patience above 0 s"
            )


class Attempts:
    """The tries of one call: `random` gives numbers from 0 to 1."""

    def __init__(self, policy: Policy, *, started: float, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random
        self._failures = 0
        # The last try has to be over while the server still knows the key.
        self._deadline = started + min(policy.patience, KEY_LIFE - policy.timeout)

    def timeout(self, now: float) -> float:
        """Seconds that the next try may take."""
        return max(SHORTEST, min(self._policy.timeout, self._deadline - now))

    def succeeded(self) -> None:
        """The server answered for good: what comes next has all its tries."""
        self._failures = 0

    def wait(self, error: OpenlineError, now: float) -> float | None:
        """Seconds until the next try; None: there is none, `error` stands."""
        self._failures += 1
        if not error.temporary or self._failures >= self._policy.attempts:
            return None
        spread = backoff.bound(self._failures, base=LEAST, cap=MOST) - LEAST
        wait = (error.retry_after or 0.0) + LEAST + spread * self._random()
        return wait if now + wait < self._deadline else None
