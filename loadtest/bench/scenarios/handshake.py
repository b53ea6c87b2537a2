"""What does it cost to let somebody in whose token was seen before?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from loadtest.bench import centrifugo, targets
from loadtest.bench.bench import Bench, Sample, join, settle
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target
from loadtest.bench.usage import Meter

HANDSHAKES = 2000


class Handshake:
    """Each round opens and drops the same number of connections on each."""

    name = "handshake"
    title = (
        "2,000 handshakes with one token, 64 at a time, until `connected` (Openline, native, with the personal channel "
        "and the broadcast joined), 101 (the loop, PyJWT HS256) or the answer to `connect` (Centrifugo)"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        count = bench.options.people(HANDSHAKES)
        with ExitStack() as stack:
            client = stack.enter_context(Remote("client"))
            feeder = stack.enter_context(Remote("feeder"))
            makers: list[Callable[[], Target]] = [
                partial(_openline, bench, feeder),
                targets.tutorials_with_token,
                partial(centrifugo.nobody, bench.folder),
            ]
            present = [bench.present(make, stack) for make in makers]
            found = [target for target in present if target is not None]
            for target in found:
                join(client, {**target.subscribe, "count": 50})
            client.ask("close")
            for number in range(bench.options.rounds):
                for target in found:
                    values = _measure(client, target, count)
                    yield Sample(self.name, target.name, number, values)


def _openline(bench: Bench, feeder: Remote) -> Target:
    token = bench.stack.tokens(feeder, 1)[0]
    at = bench.stack.at("gateway")
    return Target(
        name="Openline",
        subscribe={**at, "paths": [f"/ws?token={token}"], "joined": '"type":"connected"'},
        feed={},
        programs=bench.stack.programs("gateway", "redis", "auth"),
    )


def _measure(client: Remote, target: Target, count: int) -> dict[str, float]:
    settle(0.3)
    meter = Meter(target.programs)
    opened = client.ask("open", **target.subscribe, count=count)
    cpu = meter.cpu()
    client.ask("close")
    settle(0.7)
    return {
        "cpu_us": sum(cpu.values()) / count * 1e6,
        "a_second": count / opened["seconds"],
        "failed": sum(opened["failed"].values()),
    } | {f"cpu_us {name}": used / count * 1e6 for name, used in cpu.items()}
