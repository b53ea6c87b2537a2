"""One reader has stopped reading: do the others notice?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from loadtest.bench import targets
from loadtest.bench.bench import Audience, Bench, Sample
from loadtest.bench.remote import Remote
from loadtest.bench.targets import Target

READERS = 50
SIZE = 16_384


class Stalled:
    """Each round begins with connections of its own: the one that stalled does not come back."""

    name = "stalled"
    title = (
        "50 readers, one of which never reads; 200 messages of 16 KiB a second; share of what was offered to the other "
        "49 that reached them"
    )

    def run(self, bench: Bench) -> Iterator[Sample]:
        """See Scenario."""
        with Remote("feeder") as feeder:
            tokens = bench.stack.tokens(feeder, READERS)
        for number in range(bench.options.rounds):
            for make in (
                partial(bench.stack.target, "Openline", f"room:stalled{number}", tokens),
                targets.tutorials,
            ):
                yield self._sample(bench, make(), number)

    def _sample(self, bench: Bench, target: Target, number: int) -> Sample:
        with ExitStack() as stack:
            stack.callback(target.stop)
            audience = Audience(target, READERS, stack, stalled=1)
            seconds = bench.options.seconds
            values = audience.measure(
                "steady", rate=200, seconds=seconds, size=SIZE, readers=READERS - 1
            )
        return Sample(self.name, target.name, number, values)
