"""Where does the time go between a publish call and its reader?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from loadtest.bench import hops
from loadtest.bench.bench import Bench, Sample, drain, settle
from loadtest.bench.scenarios.sides import CONNECTIONS, ROOM, Side, baseline, floor, openline, prime
from loadtest.bench.targets import AbsentError
from loadtest.bench.wire import Wire

USERS = 1000
RATES = (10, 200, 1000)


class Hops:
    """Packets are looked at, not processes: the systems of `small`, with nothing added to them."""

    name = "hops"
    title = (
        "messages to one reader each, with the systems of `small`; time between packets on the loopback as the kernel stamps "
        "them, median and p99 over the messages of a round: from the publish call to its POST, on to the command to Redis, "
        "to Redis' reply that has the message, and to the frame with it"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        try:
            Wire().stop()
        except AbsentError as error:
            bench.say(f"left out: {error}")
            return
        users = max(ROOM, bench.options.people(USERS) // ROOM * ROOM)
        with ExitStack() as stack:
            sides = [openline(bench, users, stack), baseline(users, stack), floor(users, stack)]
            for side in sides:
                prime(side, users)
            settle()
            for number in range(bench.options.rounds):
                for rate in RATES:
                    for side in sides[:: 1 if number % 2 else -1]:
                        name = f"{side.audience.target.name}, {rate:,}/s"
                        values = measure(side, rate, bench.options.seconds)
                        yield Sample(self.name, name, number, values)


def measure(side: Side, rate: int, seconds: float) -> dict[str, float]:
    """Publish `rate` messages a second; microseconds in each hop, `arrived` the share that was seen in each of them."""
    audience = side.audience
    audience.anew({**side.feeds[1], "connections": CONNECTIONS})
    warm = audience.feeder.ask("paced", rate=50, seconds=0.3)
    drain(audience.client, warm["published"])
    settle(0.2)
    wire = Wire()
    driven = audience.feeder.ask("paced", rate=rate, seconds=seconds, patience=240)
    drain(audience.client, warm["published"] + driven["published"])
    ways = hops.hops(wire.stop(), side.ports)
    columns = {
        **{name: [getattr(way, name) for way in ways] for name in hops.Hops._fields},
        "all": [sum(way) for way in ways],
    }
    values = {f"{name}_p50": _share(column, 0.5) for name, column in columns.items()}
    values |= {f"{name}_p99": _share(column, 0.99) for name, column in columns.items()}
    return {**values, "arrived": len(ways) / driven["published"]}


def _share(column: Sequence[float], share: float) -> float:
    """The value that so many (0 to 1) of the column do not exceed; 0 without any."""
    return sorted(column)[int(share * (len(column) - 1))] if column else 0.0
