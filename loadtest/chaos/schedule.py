"""Which fault happens when: from a seed, so that it can happen again. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

LOSING = frozenset({"redis-kill", "redis-restart"})
"""Faults after which the store may have forgotten what it has acknowledged; clients are told of that."""

KINDS = (
    "gateway-kill",
    "gateway-stop",
    "gateway-pause",
    "redis-reset",
    "redis-stall",
    "redis-restart",
    "redis-kill",
    "nginx-reload",
    "publisher-kill",
    "auth-kill",
    "clients-reset",
    "clients-stall",
)

LONGEST = 6.0
"""Seconds that something hangs at the most."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens `at` so many seconds, to which gateway (counted from 1), and for how long what hangs hangs."""

    at: float
    kind: str
    gateway: int
    lasts: float


def schedule(
    seed: int,
    seconds: float,
    *,
    kinds: Sequence[str] = KINDS,
    gateways: int = 2,
    every: float = 5.0,
    first: float = 3.0,
) -> list[Fault]:
    """Faults over so many seconds, one about `every` so many; each kind once before any comes again."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    faults: list[Fault] = []
    waiting: list[str] = []
    at = first
    while at < seconds:
        if not waiting:
            waiting = chance.sample(kinds, len(kinds))
        gateway = chance.randint(1, gateways)
        lasts = chance.uniform(0.1, LONGEST)
        faults.append(Fault(round(at, 2), waiting.pop(), gateway, round(lasts, 2)))
        at += every * chance.uniform(0.7, 1.3)
    return faults
