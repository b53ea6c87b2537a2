"""Messages to one reader, and to rooms of ten: what does a message cost from its POST to its last reader?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from loadtest.bench import targets
from loadtest.bench.bench import Audience, Bench, Sample, drain, join, settle
from loadtest.bench.instructions import Instructions
from loadtest.bench.openline import Stack
from loadtest.bench.posts import CLIENTS, USUAL
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target
from loadtest.bench.usage import tree

USERS = 1000
ROOM = 10
GATEWAYS = 2
RATES = (10, 200, 1000)
USUAL_RATE = 200
CONNECTIONS = 8
AT_ONCE = 64
PRIME_RATE = 2000

OPENLINE = "Openline"
BASELINE = "tutorials' app"
FLOOR = "floor of the hops"


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


class _Side(NamedTuple):
    """A running system with its readers; `feeds` are what to publish to, by the number of readers."""

    audience: Audience
    feeds: dict[int, dict[str, Any]]
    ways: list[_Way]


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
            sides = [_openline(bench, users, stack), _baseline(users, stack), _floor(users, stack)]
            for side in sides:
                _prime(side, users)
            settle()
            for number in range(bench.options.rounds):
                for way in [*_ways(), *_headers()]:
                    # The other one begins in each second round.
                    for side in sides[:: 1 if number % 2 else -1]:
                        if way in side.ways:
                            name = f"{side.audience.target.name}, {way.name}"
                            values = _measure(side, way, bench.options.seconds * way.part)
                            yield Sample(self.name, name, number, values)


def _measure(side: _Side, way: _Way, seconds: float) -> dict[str, float]:
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


def _prime(side: _Side, users: int) -> None:
    """A first message for everybody, which costs more than those that follow."""
    for readers, feed in side.feeds.items():
        side.audience.anew({**feed, "connections": CONNECTIONS})
        channels = users // readers
        seconds = channels / PRIME_RATE
        side.audience.feeder.ask("steady", rate=PRIME_RATE, seconds=seconds, together=CONNECTIONS)
        drain(side.audience.client, channels * readers)


def _openline(bench: Bench, users: int, stack: ExitStack) -> _Side:
    system = Stack(bench.folder / f"openline-{GATEWAYS}", gateways=GATEWAYS)
    stack.callback(system.stop)
    with Remote("feeder") as feeder:
        tokens = system.tokens(feeder, users)
    at = {"kind": "post", **system.at("publisher"), "headers": system.bearer()}
    at["wrap"] = '{"data":{}}'
    feeds = {
        1: {**at, "paths": [f"/v1/channels/user:u{n}/messages" for n in range(users)]},
        ROOM: {**at, "paths": [f"/v1/channels/room:r{n}/messages" for n in range(users // ROOM)]},
    }
    target = Target(
        name=OPENLINE,
        subscribe=_readers(system, tokens, 0),
        feed=feeds[1],
        programs=system.programs("publisher", "redis", *system.gateway_names, "auth"),
    )
    audience = Audience(target, len(tokens[::GATEWAYS]), stack, sample=1)
    for gateway in range(1, GATEWAYS):
        more = {**_readers(system, tokens, gateway), "sample": 1}
        mine = len(tokens[gateway::GATEWAYS])
        audience.count += join(audience.client, {**more, "count": mine})
    return _Side(audience, feeds, [*_ways(), *_headers()])


def _readers(system: Stack, tokens: list[str], gateway: int) -> dict[str, Any]:
    """Every so many-th user, native, with their own channel and a room."""
    users = range(gateway, len(tokens), GATEWAYS)
    hellos = [
        [json.dumps({"type": "subscribe", "channel": f"room:r{n // ROOM}", "id": 1})] for n in users
    ]
    subscribe = system.subscribe("", [tokens[n] for n in users], gateway=gateway)
    return {**subscribe, "hellos": hellos}


def _baseline(users: int, stack: ExitStack) -> _Side:
    redis = targets.store()
    stack.callback(redis.stop)
    app = targets.python("relay", f"redis://{targets.HOST}:{redis.port}/0")
    stack.callback(app.stop)
    feeds = _bare_feeds(users, app.port)
    target = Target(
        name=BASELINE,
        subscribe=_listeners(app.port, range(users)),
        feed=feeds[1],
        programs={"app": app.pid, "redis": redis.pid},
    )
    return _Side(Audience(target, users, stack, sample=1), feeds, _ways())


def _bare_feeds(users: int, port: int) -> dict[int, dict[str, Any]]:
    """What is asked of a server that knows no tokens, by the number of readers."""
    at = {
        "kind": "post",
        "host": targets.HOST,
        "port": port,
        "headers": "Content-Type: application/json\r\n",
        "wrap": '{"data":{}}',
    }
    return {
        1: {**at, "paths": [f"/channels/u{n}/messages" for n in range(users)]},
        ROOM: {**at, "paths": [f"/channels/r{n}/messages" for n in range(users // ROOM)]},
    }


def _listeners(port: int, users: range) -> dict[str, Any]:
    paths = [f"/ws?channel=u{n}&channel=r{n // ROOM}" for n in users]
    return {"host": targets.HOST, "port": port, "paths": paths}


def _floor(users: int, stack: ExitStack) -> _Side:
    redis = targets.store()
    stack.callback(redis.stop)
    url = f"redis://{targets.HOST}:{redis.port}/0"
    names = ["publisher", *(f"gateway-{number}" for number in range(GATEWAYS))]
    programs = {name: targets.python("hops", name.partition("-")[0], url) for name in names}
    for program in programs.values():
        stack.callback(program.stop)
    publisher, *gateways = programs.values()
    feeds = _bare_feeds(users, publisher.port)
    first, *others = (
        _listeners(gateway.port, range(number, users, GATEWAYS))
        for number, gateway in enumerate(gateways)
    )
    pids = {name: program.pid for name, program in programs.items()}
    target = Target(
        name=FLOOR, subscribe=first, feed=feeds[1], programs={**pids, "redis": redis.pid}
    )
    audience = Audience(target, len(first["paths"]), stack, sample=1)
    for other in others:
        count = len(other["paths"])
        audience.count += join(audience.client, {**other, "count": count, "sample": 1})
    return _Side(audience, feeds, [way for way in _ways() if way.drive.get("rate") != min(RATES)])
