"""The systems that small audiences compare, each running and with the same users as readers."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from loadtest.bench import targets
from loadtest.bench.bench import Audience, Bench, drain, join
from loadtest.bench.hops import Ports
from loadtest.bench.openline import Stack
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target

ROOM = 10
GATEWAYS = 2
CONNECTIONS = 8
_PRIME_RATE = 2000

OPENLINE = "Openline"
BASELINE = "tutorials' app"
FLOOR = "floor of the hops"


class Side(NamedTuple):
    """A running system with its readers. `feeds` are what to publish to, by the number of readers, `ports` where its parts
    listen.
    """

    audience: Audience
    feeds: dict[int, dict[str, Any]]
    ports: Ports


def prime(side: Side, users: int) -> None:
    """A first message for everybody, which costs more than those that follow."""
    for readers, feed in side.feeds.items():
        side.audience.anew({**feed, "connections": CONNECTIONS})
        channels = users // readers
        seconds = channels / _PRIME_RATE
        side.audience.feeder.ask("steady", rate=_PRIME_RATE, seconds=seconds, together=CONNECTIONS)
        drain(side.audience.client, channels * readers)


def openline(bench: Bench, users: int, stack: ExitStack) -> Side:
    """Openline with two gateways, half of each room on each."""
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
    at_gateways = [system.at("gateway", gateway=number)["port"] for number in range(GATEWAYS)]
    ports = Ports(at["port"], urlsplit(system.redis).port or 0, frozenset(at_gateways))
    return Side(audience, feeds, ports)


def _readers(system: Stack, tokens: list[str], gateway: int) -> dict[str, Any]:
    """Every so many-th user, native, with their own channel and a room."""
    users = range(gateway, len(tokens), GATEWAYS)
    hellos = [
        [json.dumps({"type": "subscribe", "channel": f"room:r{n // ROOM}", "id": 1})] for n in users
    ]
    subscribe = system.subscribe("", [tokens[n] for n in users], gateway=gateway)
    return {**subscribe, "hellos": hellos}


def baseline(users: int, stack: ExitStack) -> Side:
    """The tutorials' app in one process, and its Redis."""
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
    ports = Ports(app.port, redis.port, frozenset({app.port}))
    return Side(Audience(target, users, stack, sample=1), feeds, ports)


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


def floor(users: int, stack: ExitStack) -> Side:
    """Openline's hops without anything of Openline's."""
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
    ports = Ports(publisher.port, redis.port, frozenset(gateway.port for gateway in gateways))
    return Side(audience, feeds, ports)
