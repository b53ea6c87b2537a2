"""One room whose readers are spread over gateways: what does a delivery cost there?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from loadtest.bench.bench import Audience, Bench, Sample, join, settle
from loadtest.bench.openline import Stack
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target

READERS = 1000
RATE = 50


class Shared:
    """The same readers on one gateway and on two."""

    name = "shared"
    title = (
        "1,000 readers of one room, on one gateway or 500 on each of two, 50 messages a second evenly, published "
        "through the broker; CPU time of all processes"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        count = bench.options.people(READERS)
        with ExitStack() as stack:
            two = Stack(bench.folder / "openline-2", gateways=2)
            stack.callback(two.stop)
            audiences = [
                _audience("one gateway", bench.stack, count, stack),
                _audience("two gateways", two, count, stack),
            ]
            settle()
            for number in range(bench.options.rounds):
                for audience in audiences[:: 1 if number % 2 else -1]:
                    seconds = bench.options.seconds
                    values = audience.measure("steady", rate=RATE, seconds=seconds)
                    yield Sample(self.name, audience.target.name, number, values)
                    settle(0.2)


def _audience(name: str, system: Stack, count: int, stack: ExitStack) -> Audience:
    """Equal parts on each gateway."""
    feeder = stack.enter_context(Remote("feeder"))
    tokens = system.tokens(feeder, count)
    part = count // system.gateways
    programs = system.programs("redis", "publisher", "auth", *system.gateway_names)
    target = Target(
        name=name,
        subscribe=system.subscribe("room:shared", tokens[:part]),
        feed=system.feed("room:shared"),
        programs=programs,
    )
    audience = Audience(target, part, stack)
    for number in range(1, system.gateways):
        mine = tokens[part * number : part * (number + 1)]
        more = system.subscribe("room:shared", mine, gateway=number)
        audience.count += join(audience.client, {**more, "count": part})
    return audience
