"""Messages to one reader, and to rooms of ten: what does a message cost from its POST to its last reader?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from loadtest.bench.bench import Bench, Sample, drain, settle
from loadtest.bench.instructions import Instructions
from loadtest.bench.posts import CLIENTS, USUAL
from loadtest.bench.scenarios.sides import (
    CONNECTIONS,
    FLOOR,
    OPENLINE,
    ROOM,
    Side,
    baseline,
    floor,
    openline,
    prime,
)
from loadtest.bench.usage import tree

USERS = 1000
RATES = (10, 200, 1000)
USUAL_RATE = 200
AT_ONCE = 64


class _Way(NamedTuple):
    """How messages are published, to whom, and for which part of the usual time."""

    name: str
    readers: int
    drive: dict[str, Any]
    client: str = USUAL
    connections: int = CONNECTIONS
    part: float = 1.0


def _ways() -> list[_Way]:
    audiences = (("one reader", 1), ("a room of ten", ROOM))
    ways = [
        _Way(f"{name}, {rate:,}/s", readers, {"do": "paced", "rate": rate})
        for name, readers in audiences
        for rate in RATES
    ]
    saturated = _Way(
        f"one reader, {AT_ONCE} at once", 1, {"do": "saturate"}, connections=AT_ONCE, part=0.5
    )
    return [*ways, saturated]


def _headers() -> list[_Way]:
    """Those of clients other than the usual one, which only a publisher of ours is asked about."""
    return [
        _Way(
            f"one reader, {USUAL_RATE}/s, headers of {client}",
            1,
            {"do": "paced", "rate": USUAL_RATE},
            client=client,
            part=0.5,
        )
        for client in CLIENTS
        if client != USUAL
    ]


def _asked(way: _Way, name: str) -> bool:
    """Whether the system of that name is measured so."""
    if way.client != USUAL:
        return name == OPENLINE
    return name != FLOOR or way.drive.get("rate") != min(RATES)


class Small:
    """Both sides hold the same users, who are in the same rooms: half of each room on each gateway."""

    name = "small"
    title = (
        f"{USERS:,} users, each in a room of ten, on two gateways; messages to one of them or to a room, published by HTTP, "
        f"each at its time on {CONNECTIONS} kept connections or {AT_ONCE} at once, with the headers that {USUAL} sends unless "
        "the row names another client; CPU time of all processes a message; the tutorials' app is FastAPI, pydantic and "
        "redis-py's pub/sub in one uvicorn process, without history and tokens, and its Redis; the floor is Openline's hops "
        "without anything of Openline's"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        users = max(ROOM, bench.options.people(USERS) // ROOM * ROOM)
        with ExitStack() as stack:
            sides = [
                openline(bench, users, stack),
                baseline(users, stack),
                floor(users, stack),
            ]
            for side in sides:
                prime(side, users)
            settle()
            for number in range(bench.options.rounds):
                for way in [*_ways(), *_headers()]:
                    # The other one begins in each second round.
                    for side in sides[:: 1 if number % 2 else -1]:
                        if _asked(way, side.audience.target.name):
                            name = f"{side.audience.target.name}, {way.name}"
                            values = _measure(side, way, bench.options.seconds * way.part)
                            yield Sample(self.name, name, number, values)


def _measure(side: Side, way: _Way, seconds: float) -> dict[str, float]:
    audience = side.audience
    feed = {**side.feeds[way.readers], "client": way.client, "connections": way.connections}
    audience.anew(feed)
    drive = {**way.drive}
    do = drive.pop("do")
    warm = audience.feeder.ask(do, **{**drive, "rate": 50}, seconds=0.3)
    drain(audience.client, warm["published"] * way.readers)
    audience.anew(feed)  # a saturating feed counts from nothing each time
    counting = Instructions(
        pid for program in audience.target.programs.values() for pid in tree(program)
    )
    settle(0.2)
    values = audience.measure(do, readers=way.readers, seconds=seconds, **drive)
    instructions = counting.stop()
    # Of a message, not of a delivery.
    values = {
        name: value * way.readers if name.startswith("cpu_us") else value
        for name, value in values.items()
    }
    values["a_second"] = values["rate"] / way.readers
    values["a_core"] = 1e6 / values["cpu_us"]
    if instructions is not None:
        values["instructions"] = instructions / max(1, values["published"])
    return values
