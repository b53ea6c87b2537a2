"""One room, many readers, messages at an even rate: what does a delivery cost?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

from loadtest.bench import centrifugo, targets
from loadtest.bench.bench import Audience, Bench, Sample, settle
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target

SUBSCRIBERS = 1000
PROXIED = 200
"""Readers behind nginx: at 200 messages a second without a window gateway and nginx need some 0.3 of a core each for
them. With several hundred a sweep takes so long that messages wait for each other and leave joined without a window too.
"""

Makers = Callable[[Bench, list[str]], list[Callable[[], Target]]]


class Fanout:
    """All targets are up with their audiences; each round drives one after the other."""

    def __init__(
        self,
        name: str,
        title: str,
        *,
        makers: Makers,
        subscribers: int = SUBSCRIBERS,
        drive: dict[str, dict[str, Any]],
    ) -> None:
        """`drive` is the feeder's command for each target by name, or under "" for all others."""
        self.name = name
        self.title = title
        self._makers = makers
        self._subscribers = subscribers
        self._drive = drive

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        count = bench.options.people(self._subscribers)
        with ExitStack() as stack:
            feeder = stack.enter_context(Remote("feeder"))
            tokens = bench.stack.tokens(feeder, count)
            audiences = []
            for make in self._makers(bench, tokens):
                target = bench.present(make, stack)
                if target is not None:
                    audiences.append(Audience(target, count, stack))
            settle()
            for number in range(bench.options.rounds):
                # Another one begins each round, so that none always follows the same.
                shift = number % len(audiences)
                for audience in audiences[shift:] + audiences[:shift]:
                    yield self._sample(bench, audience, number)

    def _sample(self, bench: Bench, audience: Audience, number: int) -> Sample:
        name = audience.target.name
        drive = {**self._drive.get(name, self._drive.get("", {}))}
        values = audience.measure(drive.pop("do"), seconds=bench.options.seconds, **drive)
        settle(0.2)
        return Sample(self.name, name, number, values)


def everything(bench: Bench, tokens: list[str]) -> list[Callable[[], Target]]:
    """Openline and all that it is compared with."""
    stack = bench.stack
    return [
        partial(stack.target, "Openline", "room:bench", tokens),
        targets.floor,
        targets.tutorials,
        targets.broadcast,
        partial(targets.nchan, bench.folder),
        partial(targets.node_ws, bench.folder),
        partial(targets.socketio, bench.folder),
        partial(centrifugo.room, bench.folder),
        partial(stack.target_by_http, "Openline, published by HTTP", "room:http", tokens),
    ]


def windows(bench: Bench, tokens: list[str]) -> list[Callable[[], Target]]:
    """Openline with and without its window, the loop and the floor."""
    stack = bench.stack
    return [
        partial(stack.target, "Openline, 10 ms", "ten:bench", tokens),
        targets.tutorials,
        targets.floor,
        partial(stack.target, "Openline, no window", "off:bench", tokens),
    ]


def ceilings(bench: Bench, tokens: list[str]) -> list[Callable[[], Target]]:
    """What can be flooded."""
    stack = bench.stack
    return [partial(stack.target, "Openline, 10 ms", "ten:flood", tokens), targets.tutorials]


def proxied(bench: Bench, tokens: list[str]) -> list[Callable[[], Target]]:
    """Openline through nginx."""
    stack = bench.stack
    return [
        partial(stack.target, "nginx, 10 ms", "ten:nginx", tokens, service="front_door"),
        partial(stack.target, "nginx, no window", "off:nginx", tokens, service="front_door"),
    ]


SLOW = Fanout(
    "fanout-50",
    "1,000 readers of one room, 50 messages a second evenly; Openline with its usual window of 5 ms (each message leaves "
    "at once), published through the broker unless the row says by HTTP, the others by a WebSocket (Nchan, Centrifugo: POST)",
    makers=everything,
    drive={"": {"do": "steady", "rate": 50}},
)
FAST = Fanout(
    "fanout-200",
    "1,000 readers of one room, 200 messages a second evenly, published through the broker; the others by a WebSocket",
    makers=windows,
    drive={"": {"do": "steady", "rate": 200}},
)
CEILING = Fanout(
    "ceiling",
    "1,000 readers of one room, published as fast as messages come back (through the broker; to the loop by a "
    "WebSocket)",
    makers=ceilings,
    drive={
        "": {"do": "flood", "outstanding": 256, "batch": 32},
        "tutorials' loop": {"do": "flood", "outstanding": 32, "batch": 1},
    },
)
PROXY = Fanout(
    "nginx",
    "200 readers of one room through nginx, so few that sweeps never wait for each other, 200 messages a second evenly; CPU time "
    "of gateway and nginx",
    makers=proxied,
    subscribers=PROXIED,
    drive={"": {"do": "steady", "rate": 200}},
)
