"""Thousands of connections that say nothing: what does one of them hold?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from loadtest.bench import centrifugo, targets
from loadtest.bench.bench import Bench, Sample, join, settle
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target
from loadtest.bench.usage import Meter

CONNECTIONS = 10_000
A_ROOM = 10
"""Connections in one room."""

NATIVE = "Openline, native"
NATIVE_ROUNDS = 2
"""It decides nothing, and each round takes half a minute."""


class Memory:
    """Each round begins with fresh processes: memory that was given back would be used again, and not be seen."""

    name = "memory"
    title = (
        "10,000 authenticated connections, each with a token of its own and in one room of ten (plain route), or "
        "native with its personal channel, the broadcast and a room; PSS of the server and its Redis over that before them"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        count = bench.options.people(CONNECTIONS)
        with Remote("feeder") as feeder:
            tokens = bench.stack.tokens(feeder, count)
        makers: list[tuple[str, Callable[[], Target]]] = [
            ("Openline", partial(_rooms, bench, tokens)),
            (NATIVE, partial(_native, bench, tokens)),
            ("tutorials' loop", targets.tutorials_with_token),
            (centrifugo.NAME, partial(centrifugo.rooms, bench.folder, count, size=A_ROOM)),
        ]
        for number in range(bench.options.rounds):
            for name, make in makers:
                if name == NATIVE and number >= NATIVE_ROUNDS:
                    continue
                values = _measure(bench, make, count)
                if values is not None:
                    yield Sample(self.name, name, number, values)


def _rooms(bench: Bench, tokens: list[str]) -> Target:
    bench.stack.restart()
    paths = [f"/ws/rooms/r{n // A_ROOM}?token={token}" for n, token in enumerate(tokens)]
    subscribe = {**bench.stack.at("gateway"), "paths": paths, "joined": '"type":"connected"'}
    return _fresh(bench, subscribe)


def _native(bench: Bench, tokens: list[str]) -> Target:
    bench.stack.restart()
    subscribe = bench.stack.subscribe("room:r", tokens)
    rooms = range(len(tokens) // A_ROOM + 1)
    hellos = [
        [json.dumps({"type": "subscribe", "channel": f"room:r{n // A_ROOM}", "id": 1})]
        for n in range(len(rooms) * A_ROOM)
    ]
    return _fresh(bench, {**subscribe, "hellos": hellos})


def _fresh(bench: Bench, subscribe: dict[str, object]) -> Target:
    return Target(
        name="Openline",
        subscribe=subscribe,
        feed={},
        programs=bench.stack.programs("gateway", "redis"),
        stop=bench.stack.stop,
    )


def _measure(bench: Bench, make: Callable[[], Target], count: int) -> dict[str, float] | None:
    with ExitStack() as stack:
        target = bench.present(make, stack)
        if target is None:
            return None
        client = stack.enter_context(Remote("client"))
        # What the first connections bring about (imports, caches) is not what each holds.
        join(client, {**target.subscribe, "count": min(100, count)})
        client.ask("close")
        settle()
        meter = Meter(target.programs)
        before = meter.pss()
        join(client, {**target.subscribe, "count": count})
        settle(2)
        after = meter.pss()
        lost = client.ask("report")["lost"]
    each = {f"bytes {name}": (after[name] - before[name]) / count for name in after}
    return {"bytes": sum(each.values()), "lost": lost, **each}
