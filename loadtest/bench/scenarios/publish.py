"""What does it cost to take a message by HTTP and write it to Redis?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from loadtest.bench import targets
from loadtest.bench.bench import Bench, Sample, settle
from loadtest.bench.posts import CLIENTS, USUAL
from loadtest.bench.remote import Remote
from loadtest.bench.usage import Meter

CONCURRENT = 32
BATCH = 1000
_PLAIN = "Content-Type: application/json\r\n"
_DATA = {"text": "x" * 100, "n": 1}


class _Way(NamedTuple):
    """A way to publish. `messages` in one request; `beside` are programs whose CPU time is told but not counted."""

    name: str
    request: dict[str, Any]
    messages: int
    programs: dict[str, int]
    beside: dict[str, int]


class Publish:
    """Nobody listens: what is counted ends with the write to Redis. A gateway runs, and reads what does not concern it."""

    name = "publish"
    title = (
        "32 requests at once on kept connections, 100-byte messages, one room, nobody in it; CPU time of the publisher "
        "and its Redis (Openline's: token, permission and schema checked, metrics, one gateway reading the bus); requests "
        f"have the headers that {USUAL} sends, unless the row names another client"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        with ExitStack() as stack:
            feeder = stack.enter_context(Remote("feeder"))
            # Both write to Redis servers of one make with the same settings; the baseline's has no other reader.
            child = targets.python("publisher", bench.stack.redis)
            stack.callback(child.stop)
            ways = [*_ours(bench), _baseline(bench, child)]
            for number in range(bench.options.rounds):
                for way in ways:
                    yield Sample(self.name, way.name, number, _measure(bench, feeder, way))


def _ours(bench: Bench) -> list[_Way]:
    stack = bench.stack
    at = {**stack.at("publisher"), "headers": stack.bearer()}
    programs, beside = stack.programs("publisher", "redis"), stack.programs("gateway")
    one = {**at, "path": "/v1/channels/room:publish/messages", "body": json.dumps({"data": _DATA})}
    messages = [{"channel": "room:publish", "data": _DATA}] * BATCH
    many = {**at, "path": "/v1/messages", "body": json.dumps({"messages": messages})}
    clients = [
        _Way(
            _name(client), {**one, "connections": CONCURRENT, "client": client}, 1, programs, beside
        )
        for client in CLIENTS
    ]
    return [
        *clients,
        _Way("Openline, batches of 1,000", {**many, "connections": 2}, BATCH, programs, beside),
    ]


def _name(client: str) -> str:
    return "Openline" if client == USUAL else f"Openline, headers of {client}"


def _baseline(bench: Bench, child: targets.Child) -> _Way:
    request = {
        "host": targets.HOST,
        "port": child.port,
        "headers": _PLAIN,
        "path": "/channels/bench/messages",
        "body": json.dumps({"data": _DATA}),
        "connections": CONCURRENT,
    }
    programs = {"publisher": child.pid, **bench.stack.programs("redis")}
    return _Way("FastAPI + pydantic + redis-py", request, 1, programs, {})


def _measure(bench: Bench, feeder: Remote, way: _Way) -> dict[str, float]:
    seconds = bench.options.seconds / 2
    feeder.ask("load", **way.request, seconds=0.3)
    settle(0.5)
    meter, beside = Meter(way.programs), Meter(way.beside)
    answers = feeder.ask("load", **way.request, seconds=seconds)["answers"]
    cpu = meter.cpu()
    settle(0.5)  # the gateway may be behind
    taken = max(1, way.messages * sum(answers.get(code, 0) for code in ("200", "201")))
    values = {
        "cpu_us": sum(cpu.values()) / taken * 1e6,
        "a_second": taken / seconds,
        "refused": sum(count for code, count in answers.items() if code not in ("200", "201")),
    }
    told = {**cpu, **{f"{name} (not counted)": used for name, used in beside.cpu().items()}}
    return values | {f"cpu_us {name}": used / taken * 1e6 for name, used in told.items()}
