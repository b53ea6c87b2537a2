"""The measuring itself: Openline on this machine, holders of sockets, and load in steps."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from loadtest.bench.bench import Audience, drain, join, settle
from loadtest.bench.openline import Stack
from loadtest.bench.remote import Remote
from loadtest.bench.tally import percentile
from loadtest.bench.targets import Target
from loadtest.bench.usage import Meter, busy_seconds
from loadtest.capacity.figures import Crowd, Slo, Step

_GROWTH = 1.4
_FIRST = 5_000.0
PROXIED = 500
"""Connections through nginx."""

PROXIED_RATE = 10_000.0
"""Deliveries a second through nginx."""

READ_RATE = 400
"""Messages a second at which every gateway reads the bus as often as it ever does: each read waits 3 ms for more."""

_TRIES = 3

_ENOUGH = 20
"""Messages in a step, at the least: of fewer there is no p99."""

_FEW, _MANY = 2, 8

_AT_ONCE = 2_000
"""Tokens that are asked for at once: the answer must come within a feeder's patience."""


class Settings(NamedTuple):
    """`audience` readers of each message; `readers` while deliveries grow; `most` connections, `each` of which gets so
    many messages a second; `seconds` of each step.
    """

    audience: int
    readers: int
    most: int
    each: float
    seconds: float
    slo: Slo


class _Drivers:
    """What those who publish and read use from now on, and everything on the machine."""

    def __init__(self, client: Remote, feeder: Remote) -> None:
        self._meter = Meter({"client": client.pid, "feeder": feeder.pid})
        self._busy, self._began = busy_seconds(), time.monotonic()

    def used(self) -> tuple[float, float]:
        """Cores of the busier of the two, and the share of the machine's cores that was used."""
        took = time.monotonic() - self._began
        machine = (busy_seconds() - self._busy) / took / (os.cpu_count() or 1)
        return max(self._meter.cpu().values()) / took, min(1.0, machine)


class Trial:
    """All measurements; `say` gets a line for each."""

    def __init__(self, folder: Path, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._settings = settings
        self._say = say
        self._stack = Stack(folder / "openline", gateways=_FEW)
        self.idle: dict[str, float] = {}
        """Cores that each program used before the first delivery, with its readers connected."""

    def stop(self) -> None:
        """End what was started."""
        self._stack.stop()

    def deliveries(self) -> Iterator[Step]:
        """More and more deliveries to the same readers, all on one gateway, until the SLO breaks."""
        settings = self._settings
        with ExitStack() as stack:
            tokens = self._tokens(settings.readers)
            target = self._target(tokens, programs=("gateway", "gateway-2", "redis", "publisher"))
            audience = Audience(target, settings.readers, stack)
            settle(3)
            meter, began = Meter(target.programs), time.monotonic()
            settle(settings.seconds)
            took = time.monotonic() - began
            self.idle = {name: spent / took for name, spent in meter.cpu().items()}
            offered, broken = _FIRST, False
            while not broken:
                step = self._held(audience, offered)
                broken = bool(settings.slo.broken(step))
                yield step
                offered *= _GROWTH
                settle()

    def connections(self) -> Iterator[Crowd]:
        """More and more connections of one gateway that hardly get anything, until the SLO breaks or all are there."""
        settings = self._settings
        self._stack.restart()
        with ExitStack() as stack:
            tokens = self._tokens(settings.most)
            target = self._target(tokens, programs=("gateway", "redis"))
            memory = Meter(target.programs)
            before = memory.pss()
            client = stack.enter_context(Remote("client"))
            feeder = stack.enter_context(Remote("feeder"))
            feeder.ask("open", **target.feed)
            held = 0
            while held < settings.most:
                more = min(max(500, settings.most // 6), settings.most - held)
                crowd = self._crowd(target, client, feeder, held=held, more=more)
                used = {name: (now - before[name]) / 1e6 for name, now in memory.pss().items()}
                crowd = crowd._replace(gateway_mb=used["gateway"], redis_mb=used["redis"])
                held = crowd.connections
                self._say(
                    f"{held:,} connections: {crowd.gateway_mb:.0f} MB, {crowd.opened:,.0f} opened a second, "
                    f"p99 {crowd.p99:.0f} ms"
                )
                yield crowd
                if settings.slo.broken(crowd):
                    return

    def base_mb(self) -> float:
        """Memory of a gateway that nobody has connected to."""
        self._stack.restart()
        settle(2)
        return Meter(self._stack.programs("gateway")).pss()["gateway"] / 1e6

    def nginx(self) -> tuple[float, float]:
        """Microseconds of nginx a delivery, and 1,000 bytes a connection."""
        with ExitStack() as stack:
            tokens = self._tokens(PROXIED)
            target = self._target(tokens, programs=("nginx",), service="front_door")
            meter = Meter(target.programs)
            before = meter.pss()["nginx"]
            audience = Audience(target, PROXIED, stack)
            settle(2)
            memory = (meter.pss()["nginx"] - before) / PROXIED / 1000
            step = self._step(audience, PROXIED_RATE)
        self._say(f"through nginx: {_told(step)}")
        return step.cores["nginx"] / step.rate * 1e6, memory

    def reader_core(self) -> float:
        """What one more gateway costs Redis that reads the bus as often as it can, of a core."""
        few = self._reading(self._stack)
        self._stack.stop()
        many = Stack(self._folder / "many", gateways=_MANY)
        try:
            return max(0.0, (self._reading(many) - few) / (_MANY - _FEW))
        finally:
            many.stop()

    def _reading(self, system: Stack) -> float:
        system.start()
        feed: dict[str, Any] = {
            "kind": "broker",
            "redis": system.redis,
            "namespaces": str(system.namespaces),
            "channels": ["notify:nobody"],
        }
        with Remote("feeder") as feeder:
            feeder.ask("open", patience=20, **feed)
            settle(2)
            meter, began = Meter(system.programs("redis")), time.monotonic()
            feeder.ask("steady", rate=READ_RATE, seconds=self._settings.seconds)
            used = meter.cpu()["redis"] / (time.monotonic() - began)
        self._say(f"{system.gateways} gateways read {READ_RATE} messages/s: Redis {used:.3f}")
        return used

    def _held(self, audience: Audience, offered: float) -> Step:
        """The first try that holds the SLO, else the best of some: other work on the machine breaks one as well."""
        tried = []
        for _ in range(_TRIES):
            step = self._step(audience, offered)
            self._say(_told(step))
            tried.append(step)
            if not self._settings.slo.broken(step):
                break
            settle()
        return min(tried, key=lambda one: (bool(self._settings.slo.broken(one)), one.p99))

    def _step(self, audience: Audience, offered: float) -> Step:
        readers = self._settings.audience
        drivers = _Drivers(audience.client, audience.feeder)
        values = audience.measure(
            "steady", readers=readers, rate=offered / readers, seconds=self._settings.seconds
        )
        driver, machine = drivers.used()
        parts = {
            name.removeprefix("cpu_us "): spent
            for name, spent in values.items()
            if name.startswith("cpu_us ")
        }
        whole = sum(parts.values()) or 1.0
        return Step(
            offered=offered,
            rate=values["rate"],
            messages=offered / readers,
            p50=values["p50_ms"],
            p99=values["p99_ms"],
            arrived=values["arrived"],
            gaps=int(values["gaps"] + values["lost"]),
            cores={name: values["core"] * spent / whole for name, spent in parts.items()},
            driver=driver,
            machine=machine,
        )

    def _crowd(
        self, target: Target, client: Remote, feeder: Remote, *, held: int, more: int
    ) -> Crowd:
        meter, began = Meter(target.programs), time.monotonic()
        join(client, _slice(target.subscribe, held, more))
        opened, spent = time.monotonic() - began, meter.cpu()["gateway"]
        crowd = Crowd(
            connections=held + more,
            opened=more / opened,
            handshake_us=spent / more * 1e6,
            gateway_mb=0.0,
            redis_mb=0.0,
            core=0.0,
            p99=0.0,
            arrived=0.0,
            gaps=0,
        )
        tried = []
        for _ in range(_TRIES):
            settle(2)
            tried.append(self._idling(crowd, target, client, feeder))
            if not self._settings.slo.broken(tried[-1]):
                break
        return min(tried, key=lambda one: (bool(self._settings.slo.broken(one)), one.p99))

    def _idling(self, crowd: Crowd, target: Target, client: Remote, feeder: Remote) -> Crowd:
        """The same with what it does while each connection gets hardly anything."""
        settings, topics = self._settings, len(target.feed["paths"])
        client.ask("reset", anew=True)
        drivers = _Drivers(client, feeder)
        meter, began = Meter(target.programs), time.monotonic()
        rate = max(topics * settings.each, _ENOUGH / settings.seconds)
        published = feeder.ask("steady", rate=rate, seconds=settings.seconds)["published"]
        core = meter.cpu()["gateway"] / (time.monotonic() - began)
        driver, machine = drivers.used()
        # People are spread evenly over the topics, and messages as well.
        drain(client, published * crowd.connections // topics)
        report = client.ask("report")
        return crowd._replace(
            core=core,
            p99=percentile(report["steps"], 0.99),
            arrived=1.0 - report["lost"] / crowd.connections,
            gaps=report["gaps"],
            driver=driver,
            machine=machine,
        )

    def _tokens(self, count: int) -> list[str]:
        with Remote("feeder") as feeder:
            for some in range(_AT_ONCE, count, _AT_ONCE):
                self._stack.tokens(feeder, some)
            return self._stack.tokens(feeder, count)

    def _target(
        self, tokens: list[str], *, programs: tuple[str, ...], service: str = "gateway"
    ) -> Target:
        """Topics with `audience` listeners each, published to by HTTP."""
        topics = max(1, len(tokens) // self._settings.audience)
        hellos = [
            [json.dumps({"type": "subscribe", "channel": f"notify:c{n % topics}", "id": 1})]
            for n in range(len(tokens))
        ]
        feed: dict[str, Any] = {
            "kind": "post",
            **self._stack.at("publisher"),
            "headers": self._stack.bearer(),
            "paths": [f"/v1/channels/notify:c{n}/messages" for n in range(topics)],
            "wrap": '{"data":{}}',
            "connections": 8,
        }
        subscribe = self._stack.subscribe("notify:c0", tokens, service=service)
        return Target(
            name="Openline",
            subscribe={**subscribe, "hellos": hellos},
            feed=feed,
            programs=self._stack.programs(*programs),
        )


def _slice(subscribe: dict[str, Any], first: int, count: int) -> dict[str, Any]:
    lists = {name: subscribe[name][first : first + count] for name in ("paths", "hellos")}
    return {**subscribe, **lists, "count": count}


def _told(step: Step) -> str:
    cores = ", ".join(f"{name} {core:.2f}" for name, core in step.cores.items())
    return f"{step.offered:,.0f} deliveries/s offered, {step.rate:,.0f} came, p99 {step.p99:.0f} ms; cores: {cores}"
