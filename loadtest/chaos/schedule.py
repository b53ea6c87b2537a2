"""Which fault happens when: from a seed, so that it can happen again. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

CALM = 30.0
"""Seconds at the end in which nothing happens; a quarter of a run that is shorter than two minutes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: what it may hit, one of `targets` where there are several, and how many seconds it lasts, from the
    shortest to the longest.
    """

    name: str
    targets: tuple[str, ...] = ()
    lasts: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens `at` so many seconds, to what, and for how long. `target` is empty where there is no choice."""

    at: float
    kind: str
    target: str
    lasts: float


def schedule(
    seed: int, seconds: float, *, kinds: Sequence[Kind], every: float = 5.0, first: float = 3.0
) -> list[Fault]:
    """Faults over so many seconds, one after another with about `every` seconds between, and then calm.

    Each kind comes once before any comes again, and as often as any other: a last round that has no room is left out,
    unless it is the only one.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    end = seconds - min(CALM, seconds / 4)
    faults: list[Fault] = []
    at = first
    while True:
        turn: list[Fault] = []
        for kind in chance.sample(kinds, len(kinds)):
            target = chance.choice(kind.targets) if kind.targets else ""
            # Most last briefly, a few long: what is short and what is long breaks different things.
            shortest, longest = kind.lasts
            lasts = round(shortest + (longest - shortest) * chance.random() ** 2, 2)
            if at + lasts >= end:
                return faults or turn
            turn.append(Fault(round(at, 2), kind.name, target, lasts))
            at += lasts + every * chance.uniform(0.7, 1.3)
        faults += turn
