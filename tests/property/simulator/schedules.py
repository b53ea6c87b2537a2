"""Random schedules: made from a seed, run, shrunk to the few steps that matter, and told."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from tests.property.simulator.client import ViolationError
from tests.property.simulator.world import Step, World

CLIENTS = 6
CHANNELS = ("a", "b", "c")

WAITS = (0.0, 0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class Scope:
    """What the steps of one schedule are about: few channels and clients make for close encounters."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._channels = random.sample(CHANNELS, random.randrange(1, 4))
        self._clients = random.sample(range(CLIENTS), random.randrange(1, CLIENTS + 1))
        self._gateways = random.choice(((0,), (0, 1)))

    def client(self) -> int:
        return self.random.choice(self._clients)

    def gateway(self) -> int:
        return self.random.choice(self._gateways)

    def channel(self) -> str:
        return self.random.choice(self._channels)

    def below(self, number: int) -> int:
        return self.random.randrange(number)

    def one_of(self, *values: Any) -> Any:
        return self.random.choice(values)


Args = Callable[[Scope], tuple[Any, ...]]

ORDINARY: dict[str, tuple[int, Args]] = {
    "publish": (30, lambda r: (r.channel(), r.one_of(1, 1, 1, 2, 3, 8))),
    "join": (20, lambda r: (r.client(), r.gateway())),
    "join_last": (5, lambda r: (r.client(), r.gateway(), 1 + r.below(7))),
    "join_with": (5, lambda r: (r.client(), r.gateway(), r.client())),
    "leave": (12, lambda r: (r.client(),)),
    "typing": (1, lambda r: (r.channel(),)),
}
"""Steps that any schedule may have, with their weights."""

FAULTS: dict[str, tuple[int, Args]] = {
    "promote": (8, lambda r: (r.below(6), r.below(8), r.one_of(0.0, 0.05, 0.5, 3.0, 60.0))),
    "crash": (8, lambda r: (r.below(6), r.one_of(0.0, 0.02, 0.5, 4.0))),
    "flush": (4, lambda r: ()),
    "trim_bus": (10, lambda r: (r.below(3),)),
    "expire_log": (5, lambda r: (r.channel(), r.below(2))),
    "drop_history": (5, lambda r: (r.channel(),)),
    "pause": (10, lambda r: (r.gateway(), r.one_of(0.02, 0.3, 2.0, 6.0))),
    "reconnect_reads": (8, lambda r: (r.gateway(),)),
    "reconnect_looks": (8, lambda r: (r.gateway(),)),
    "slow": (10, lambda r: (r.one_of(0.001, 0.01, 0.1, 0.8),)),
    "lossy": (8, lambda r: (r.one_of(0.0, 0.1, 0.5), r.one_of(0.0, 0.3))),
    "overtake": (8, lambda r: (r.gateway(), r.channel(), 1 + r.below(4), r.one_of(0.1, 1.0, 3.0))),
    "misdirect_looks": (8, lambda r: (r.gateway(), r.below(8))),
    "kill": (4, lambda r: (r.gateway(),)),
    "stall": (8, lambda r: (r.client(),)),
    "drain": (8, lambda r: (r.client(),)),
    "join_beyond": (4, lambda r: (r.client(), r.gateway(), 1 + r.below(4))),
}
"""Steps of which each schedule has only some kinds, so that each kind also meets the others undisturbed."""


THEMES: tuple[tuple[str, ...], ...] = (
    ("publish", "join", "leave", "overtake"),
    ("publish", "join", "leave", "overtake", "slow"),
    ("publish", "join", "slow", "trim_bus"),
    ("publish", "join", "leave", "promote", "misdirect_looks", "reconnect_reads"),
    ("publish", "join", "leave", "promote", "crash", "join_with"),
    ("publish", "join", "leave", "misdirect_looks", "reconnect_looks"),
    ("publish", "join", "leave", "overtake", "expire_log", "pause"),
)
"""Steps that belong together: each of these makes one kind of encounter frequent."""


def _kinds(random: Random, *, faults: bool) -> dict[str, tuple[int, Args]]:
    if faults and random.random() < 0.5:
        every = ORDINARY | FAULTS
        return {name: every[name] for name in random.choice(THEMES)}
    chosen = random.sample(sorted(FAULTS), random.randrange(1, 5) if faults else 0)
    return ORDINARY | {name: FAULTS[name] for name in chosen}


def make(seed: int, *, faults: bool = True) -> list[Step]:
    """The schedule of a seed."""
    random = Random(seed)
    kinds = _kinds(random, faults=faults)
    names = list(kinds)
    weights = [kinds[name][0] for name in names]
    scope = Scope(random)
    waits = random.choice((WAITS, WAITS[:6], WAITS[2:]))
    return [
        Step(random.choice(waits), name, kinds[name][1](scope))
        for name in random.choices(names, weights, k=random.randrange(5, 45))
    ]


class Counterexample(NamedTuple):
    """A schedule that breaks the guarantee."""

    seed: int
    steps: list[Step]
    violation: str

    def __str__(self) -> str:
        told = "\n".join(f"  {step!r}" for step in self.steps)
        return f"seed {self.seed}: {self.violation}\n{told}"


def violation(seed: int, steps: list[Step]) -> str | None:
    """What goes wrong in a schedule; None when nothing does."""
    try:
        World(seed, clients=CLIENTS).run(steps)
    except ViolationError as broken:
        return str(broken)
    return None


def shrink(seed: int, steps: list[Step]) -> list[Step]:
    """Leave out steps, ever smaller runs of them, as long as something still goes wrong."""
    size = max(1, len(steps) // 2)
    while True:
        fewer = _without(seed, steps, size)
        if size == 1 and len(fewer) == len(steps):
            return steps
        steps, size = fewer, max(1, size // 2)


def _without(seed: int, steps: list[Step], size: int) -> list[Step]:
    start = 0
    while start < len(steps):
        fewer = steps[:start] + steps[start + size :]
        if violation(seed, fewer):
            steps = fewer
        else:
            start += size
    return steps


def search(first: int, number: int) -> Counterexample | None:
    """The first counterexample among `number` schedules, shrunk."""
    for seed in range(first, first + number):
        steps = make(seed)
        if violation(seed, steps):
            steps = shrink(seed, steps)
            told = violation(seed, steps)
            assert told is not None
            return Counterexample(seed, steps, told)
    return None
