"""Traffic of messages with keys straight through a broker, and what became of each."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field

from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code, OpenlineError
from tests.contract.steps import draft

RATE = 100
CHANNELS = [f"room:{n}" for n in range(20)]


@dataclass
class KeyedPublishing:
    """Publishes numbered messages with keys at a rate, each again until it is stored."""

    broker: RedisBroker
    acknowledged: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    accepted_at: list[float] = field(default_factory=list)
    refused: int = 0
    rate: int = RATE
    done: bool = False

    async def run(self, seconds: float) -> None:
        """Publish for so long, or until `done` is set; returns when all is stored."""
        end, number = time.monotonic() + seconds, 0
        async with asyncio.TaskGroup() as tasks:
            while not self.done and time.monotonic() < end:
                number += 1
                tasks.create_task(self._one(number))
                await asyncio.sleep(1 / self.rate)

    async def _one(self, number: int) -> None:
        channel = CHANNELS[number % len(CHANNELS)]
        async with asyncio.timeout(60):
            while True:
                (result,) = await self.broker.publish(
                    [draft(channel, str(number), key=f"a/{number}")]
                )
                if not isinstance(result, OpenlineError):
                    self.acknowledged[number] = (channel, result.epoch, result.offset)
                    self.accepted_at.append(time.monotonic())
                    return
                assert result.code is Code.UNAVAILABLE, result
                self.refused += 1
                await asyncio.sleep(0.05)

    def longest_pause(self) -> float:
        """Seconds between two publishes that were accepted one after the other, at most."""
        times = sorted(self.accepted_at)
        return max(later - at for at, later in itertools.pairwise(times))

    def first_after(self, moment: float) -> float:
        """Seconds from a moment to the first publish that was accepted later."""
        return min(at for at in self.accepted_at if at > moment) - moment


async def lost(
    broker: RedisBroker, acknowledged: dict[int, tuple[str, str, int]]
) -> tuple[list[int], list[int]]:
    """Numbers of acknowledged messages that are gone: all, and those whose channel's epoch does not tell."""
    stored: dict[str, set[str]] = {}
    epochs: dict[str, str] = {}
    for channel in CHANNELS:
        page = await broker.history(channel, since=None, limit=10_000, reverse=False)
        assert not page.more
        found = [publication.data.decode() for publication in page.publications]
        stored[channel] = set(found)
        assert len(found) == len(stored[channel]), "stored twice"
        epochs[channel] = page.epoch
    gone = [
        number
        for number, (channel, _, _) in acknowledged.items()
        if str(number) not in stored[channel]
    ]
    untold = [
        number for number in gone if acknowledged[number][1] == epochs[acknowledged[number][0]]
    ]
    return gone, untold
