"""A system that nobody uses: what does each service cost a second?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from loadtest.bench import targets
from loadtest.bench.bench import Bench, Sample, settle
from loadtest.bench.openline import Stack
from loadtest.bench.usage import Meter

GATEWAYS = 2


class Idle:
    """It adds to each message where messages are few."""

    name = "idle"
    title = (
        "nobody is connected and nothing is published; CPU time of each process a second, in milliseconds, of Openline with "
        "two gateways and of the tutorials' app with its Redis"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        with ExitStack() as stack:
            system = Stack(bench.folder / f"openline-{GATEWAYS}", gateways=GATEWAYS)
            stack.callback(system.stop)
            ours = system.programs("publisher", "redis", *system.gateway_names, "auth")
            redis = targets.store()
            stack.callback(redis.stop)
            app = targets.python("relay", f"redis://{targets.HOST}:{redis.port}/0")
            stack.callback(app.stop)
            settle(2 * bench.options.scale)
            for number in range(bench.options.rounds):
                # Both at once: they do nothing.
                sides = {
                    "Openline": Meter(ours),
                    "tutorials' app": Meter({"app": app.pid, "redis": redis.pid}),
                }
                seconds = 2 * bench.options.seconds
                settle(seconds)
                for name, meter in sides.items():
                    used = {part: cpu / seconds * 1000 for part, cpu in meter.cpu().items()}
                    parts = {f"cpu_ms {part}": value for part, value in used.items()}
                    values = {"cpu_ms": sum(used.values()), **parts}
                    yield Sample(self.name, name, number, values)
