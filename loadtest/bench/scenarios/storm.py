"""Ten thousand come back at once: how long does it take, what does it cost, and what do those who stayed feel of it?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from loadtest.bench.bench import Audience, Bench, Sample, join, settle
from loadtest.bench.remote import Remote
from loadtest.bench.tally import percentile
from loadtest.bench.usage import Meter

RETURNING = 10_000
STAYING = 200
RATE = 50
ROUNDS = 3


class Storm:
    """A room of those who stay, and others that drop and come back as fast as they are let in."""

    name = "storm"
    title = (
        "10,000 connections are reset, or ended as by a front door that stops (FIN), and return, 512 at a time, with tokens "
        "seen before, into rooms of ten, while 200 others get 50 messages a second"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        count, staying = bench.options.people(RETURNING), bench.options.people(STAYING)
        with ExitStack() as stack:
            feeder = stack.enter_context(Remote("feeder"))
            tokens = bench.stack.tokens(feeder, count)
            target = bench.stack.target("Openline", "room:stay", tokens[:staying])
            audience = Audience(target, staying, stack)
            returning = stack.enter_context(Remote("client"))
            command = {
                **bench.stack.at("gateway"),
                "paths": [f"/ws/rooms/s{n // 10}?token={token}" for n, token in enumerate(tokens)],
                "joined": '"type":"connected"',
                "count": count,
                "concurrency": 512,
            }
            # Their tokens are new here: 512 at once would wait longer for their turns than a gateway lets them.
            join(returning, {**command, "concurrency": 64})
            settle(2)
            for number in range(min(ROUNDS, bench.options.rounds)):
                for name, end in (("Openline", False), ("Openline, ended by FIN", True)):
                    values = _measure(audience, returning, command, end=end)
                    yield Sample(self.name, name, number, values)
                    settle(2)


def _measure(
    audience: Audience, returning: Remote, command: dict[str, Any], *, end: bool
) -> dict[str, float]:
    audience.client.ask("reset")
    meter = Meter(audience.target.programs)
    audience.feeder.tell("steady", rate=RATE, seconds=10)
    returning.ask("close", end=end)
    back = returning.ask("open", **command)
    cpu = meter.cpu()
    driven = audience.feeder.hear()
    settle(0.5)
    report = audience.client.ask("report")
    wanted = driven["published"] * audience.count
    return {
        "seconds": back["seconds"],
        "failed": sum(back["failed"].values()),
        "cpu_us": sum(cpu.values()) / max(1, back["joined"]) * 1e6,
        "p50_ms": percentile(report["steps"], 0.5),
        "p99_ms": percentile(report["steps"], 0.99),
        "max_ms": percentile(report["steps"], 1.0),
        "arrived": report["received"] / wanted,
        "gaps": report["gaps"],
    }
