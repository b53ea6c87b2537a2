"""What was measured: steps of growing load, where they break, and what one of each thing costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from loadtest.swarm.trend import fit

SHARE = 0.6
"""Planned use of what there is: the rest is for peaks, for the clients of a neighbour that has died, for deploys."""

_ARRIVED = 0.999


class Step(NamedTuple):
    """One step of deliveries. `offered` and `rate` in deliveries a second, latencies in milliseconds, `cores` that each
    program used, `messages` a second, `arrived` the share of what was offered that came. `driver`: cores of the busier of the two
    processes that publish and read, `machine`: share of all cores that was used by anything.
    """

    offered: float
    rate: float
    messages: float
    p50: float
    p99: float
    arrived: float
    gaps: int
    cores: dict[str, float]
    driver: float = 0.0
    machine: float = 0.0


class Crowd(NamedTuple):
    """One step of connections. `opened` connections a second when the last ones came, `handshake_us` of the gateway's CPU
    for each, `memory` of gateway and Redis in MB over that without anybody, `core` of the gateway while each connection
    got little, with its `p99` in milliseconds; `arrived` is the share of connections that stayed. `driver` and `machine` as of a
    step.
    """

    connections: int
    opened: float
    handshake_us: float
    gateway_mb: float
    redis_mb: float
    core: float
    p99: float
    arrived: float
    gaps: int
    driver: float = 0.0
    machine: float = 0.0


class Slo(NamedTuple):
    """What must hold: `p99` in milliseconds from the publish call to the read; and nothing missing."""

    p99: float

    def broken(self, step: Step | Crowd) -> str:
        """Why the step does not hold it; empty when it does."""
        if step.p99 > self.p99:
            return f"p99 {step.p99:.0f} ms is over {self.p99:g} ms"
        if step.arrived < _ARRIVED:
            return f"only {step.arrived:.1%} of what was offered came in time"
        if step.gaps:
            return f"{step.gaps} messages are missing"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Costs on this machine. `_us`: microseconds of CPU; `_kb`: 1,000 bytes; `_mb`: 1,000,000 bytes.

    `knee` is the most deliveries a second that held the SLO, `knee_core` what the gateway used then; `delivery_us` is of
    the gateway, `entry_us` what a message costs a gateway that has no reader of it, `publish_us` of the publisher,
    `redis_us` of Redis a message, each of the dearest step; `reader_core` what one more gateway that reads the bus costs
    Redis at the most;
    `connections` is the most that one gateway held here; `capped`: it would have held more, but `--most` asked for no more.
    """

    knee: float
    knee_core: float
    delivery_us: float
    entry_us: float
    publish_us: float
    redis_us: float
    reader_core: float
    nginx_us: float
    nginx_kb: float
    handshake_us: float
    connection_kb: float
    redis_kb: float
    gateway_mb: float
    connections: int
    capped: bool = False


def knee(steps: Sequence[Step], slo: Slo) -> Step | None:
    """The last step before the first that breaks the SLO."""
    held = None
    for step in steps:
        if slo.broken(step):
            break
        held = step
    return held


class Cost(NamedTuple):
    """So many microseconds of CPU, at this step."""

    us: float
    step: Step


def dearest(steps: Sequence[Step], slo: Slo, price: Callable[[Step], float]) -> Cost:
    """The highest price among the steps up to the knee; that of the first where none held the SLO.

    What is close in time leaves as one, so that a price falls while load grows: by how much depends on how far up a
    machine gets, and connections that get little, as most do, never see it.
    """
    top = knee(steps, slo)
    held = steps[: steps.index(top) + 1] if top else steps[:1]
    return max((Cost(price(step), step) for step in held), key=lambda cost: cost.us)


def delivery_us(step: Step) -> float:
    """CPU of the gateway that delivers over that of one that only reads the bus, a delivery."""
    return (step.cores["gateway"] - step.cores["gateway-2"]) / step.rate * 1e6


def message_us(step: Step, idle: Mapping[str, float], program: str) -> float:
    """CPU of a program over what it used while nothing was published, a message; all of it where that was no less."""
    core = step.cores[program]
    return (core - idle[program] if core > idle[program] else core) / step.messages * 1e6


def per_connection_kb(crowds: Sequence[Crowd], program: str) -> float:
    """Memory that each connection adds, in 1,000 bytes."""
    points = [(float(crowd.connections), getattr(crowd, f"{program}_mb")) for crowd in crowds]
    return 1000 * fit([(0.0, 0.0), *points]).slope
