"""Entries of the bus that concern nobody on a gateway: what does each cost Redis and each gateway?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from loadtest.bench.bench import Bench, Sample, join, settle
from loadtest.bench.openline import Stack
from loadtest.bench.remote import Remote
from loadtest.bench.usage import Meter

GATEWAYS = (1, 2, 8)
ELSEWHERE = 100
"""Readers of another room on each gateway of the last fleet."""

WAYS: dict[str, dict[str, int]] = {
    "one by one": {"rate": 200, "together": 1},
    "bursts of 100": {"rate": 4000, "together": 100},
}


class _Fleet(NamedTuple):
    """A running system, and what publishes to it."""

    name: str
    feeder: Remote
    programs: dict[str, int]


class Unwanted:
    """Every gateway reads all of a partition's bus; what no connection of its own wants it drops."""

    name = "unwanted"
    title = (
        "messages to a room that nobody is in, 200 a second one by one or 4,000 a second in bursts of 100, published "
        "through the broker; CPU time of Redis and of each gateway a message, idle work in it; no gateway has any client, "
        f"or each has {ELSEWHERE} readers of another room"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        with ExitStack() as stack:
            fleets = [_fleet(bench, gateways, stack) for gateways in GATEWAYS]
            fleets.append(_fleet_with_readers(bench, stack))
            settle()
            for number in range(bench.options.rounds):
                shift = number % len(fleets)
                for fleet in fleets[shift:] + fleets[:shift]:
                    for name, way in WAYS.items():
                        values = _measure(bench, fleet, way)
                        yield Sample(self.name, f"{fleet.name}, {name}", number, values)


def _fleet(bench: Bench, gateways: int, stack: ExitStack) -> _Fleet:
    if gateways == 1:
        return _fed("1 gateway", bench.stack, stack)
    system = Stack(bench.folder / f"openline-{gateways}", gateways=gateways)
    stack.callback(system.stop)
    return _fed(f"{gateways} gateways", system, stack)


def _fleet_with_readers(bench: Bench, stack: ExitStack) -> _Fleet:
    system = Stack(bench.folder / "openline-elsewhere", gateways=2)
    stack.callback(system.stop)
    fleet = _fed("2 gateways with readers elsewhere", system, stack)
    client = stack.enter_context(Remote("client"))
    count = bench.options.people(ELSEWHERE)
    tokens = system.tokens(fleet.feeder, count)
    for number in range(system.gateways):
        there = system.subscribe("room:elsewhere", tokens, gateway=number)
        join(client, {**there, "count": count})
    return fleet


def _fed(name: str, system: Stack, stack: ExitStack) -> _Fleet:
    feeder = stack.enter_context(Remote("feeder"))
    feeder.ask("open", **system.feed("room:nobody"))
    return _Fleet(name, feeder, system.programs("redis", *system.gateway_names))


def _measure(bench: Bench, fleet: _Fleet, way: dict[str, Any]) -> dict[str, float]:
    meter = Meter(fleet.programs)
    driven = fleet.feeder.ask("steady", seconds=bench.options.seconds / 2, **way)
    settle(0.05)  # for those who read behind
    cpu = meter.cpu()
    redis = cpu.pop("redis")
    published = driven["published"]
    return {
        "redis_us": redis / published * 1e6,
        "gateway_us": sum(cpu.values()) / len(cpu) / published * 1e6,
    }
