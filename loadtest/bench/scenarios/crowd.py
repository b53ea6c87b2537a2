"""As many connections as one gateway can have here, and a message to all of them: how long does a sweep take?"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

from loadtest.bench.bench import Audience, Bench, Sample, settle
from loadtest.bench.prober import Prober
from loadtest.bench.remote import Remote
from loadtest.bench.usage import Meter

CONNECTIONS = 15_000
TOKENS = 1000
MESSAGES = 5
ROUNDS = 3


class Crowd:
    """One gateway, everybody in one room. A prober pings it all the while."""

    name = "crowd"
    title = (
        "15,000 native connections of one gateway in one room, a message to all of them each second; another connection "
        "pings every 2 ms"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        bench.stack.restart()
        count = bench.options.people(CONNECTIONS)
        with ExitStack() as stack:
            feeder = stack.enter_context(Remote("feeder"))
            tokens = bench.stack.tokens(feeder, min(count, TOKENS))
            target = bench.stack.target("Openline", "room:crowd", tokens)
            memory = Meter(bench.stack.programs("gateway", "redis"))
            before = sum(memory.pss().values())
            audience = Audience(target, count, stack, sample=1)
            settle(3)
            each = (sum(memory.pss().values()) - before) / count
            for number in range(min(ROUNDS, bench.options.rounds)):
                values = _measure(bench, audience, tokens[0])
                yield Sample(self.name, "Openline", number, {"bytes": each, **values})


def _measure(bench: Bench, audience: Audience, token: str) -> dict[str, float]:
    at = bench.stack.at("gateway")
    with Prober(at["host"], at["port"], f"/ws?token={token}") as prober:
        probing = threading.Thread(target=prober.run, daemon=True)
        probing.start()
        values = audience.measure("steady", rate=1, seconds=MESSAGES)
        time.sleep(0.2)
        prober.stop()
        probing.join()
    return {
        **values,
        "pause_ms": prober.longest_ms,
    }
