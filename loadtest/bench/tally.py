"""What load clients count: messages, and whether each connection got every one of them once and in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

STEP = 100
"""Microseconds in one step of the latencies that are counted."""

LONGEST = 100_000
"""Steps; what takes longer (10 s) counts as this."""


class Tally:
    """Counts over many connections. Times in microseconds of `payload.now`.

    `received` messages; `gaps`: numbers that were passed over; `reorders`: messages that came after a later one, or
    twice; `others`: frames that are no published message.
    """

    __slots__ = ("first", "gaps", "last", "others", "received", "reorders", "steps")

    def __init__(self) -> None:
        self.received = 0
        self.gaps = 0
        self.reorders = 0
        self.others = 0
        self.first = 0
        self.last = 0
        self.steps: dict[int, int] = {}

    def take(self, expected: int | None, seqs: Iterable[int]) -> int:
        """Count one connection's messages in the order in which they came; the number that should come next."""
        for seq in seqs:
            self.received += 1
            if expected is None or seq == expected:
                expected = seq + 1
            elif seq > expected:
                self.gaps += seq - expected
                expected = seq + 1
            else:
                self.reorders += 1
        assert expected is not None
        return expected

    def late(self, now: int, stamps: Iterable[int]) -> None:
        """Count how long messages took that were sent at `stamps`."""
        steps = self.steps
        for stamp in stamps:
            step = min((now - stamp) // STEP, LONGEST)
            steps[step] = steps.get(step, 0) + 1

    def as_json(self) -> dict[str, Any]:
        """For another process."""
        return {
            **{name: getattr(self, name) for name in self.__slots__ if name != "steps"},
            "steps": {str(step): count for step, count in self.steps.items()},
        }


def percentile(steps: Mapping[str, int], share: float) -> float:
    """Milliseconds within which `share` (0 to 1) of the messages came, from a tally's `steps`; 0 without any."""
    total = sum(steps.values())
    wanted = share * total
    seen = 0
    for step, count in sorted((int(step), count) for step, count in steps.items()):
        seen += count
        if seen >= wanted:
            return (step + 1) * STEP / 1000
    return 0.0
