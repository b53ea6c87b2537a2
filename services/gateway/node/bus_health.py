"""Whether a gateway hears the bus: its own canary comes back, or it is deaf, or the store is away for everybody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

DEAF_SECONDS = 10.0
"""Age of our own canary, while beats are answered, at which a gateway is deaf."""

LOST_SECONDS = 20.0
"""How long a gateway is deaf until its clients are moved: its connections are made anew twice before."""

BEAT_AGE = 1.0
"""Age that a canary reaches between two beats when all is well."""


class Beating(Protocol):
    """A partition's driver as it is seen here; `beaten_at` is when its last beat was answered."""

    partition: int
    beaten_at: float


class _Told(msgspec.Struct):
    """What a gateway tells of itself with each beat, as far as it matters here."""

    node: str = ""
    lag: float = 0.0
    draining: bool = False


def refuge(nodes: Iterable[bytes], me: str) -> bool:
    """Whether another gateway hears and takes clients: what makes all deaf is not mended by moving clients about."""
    told = (msgspec.json.decode(node, type=_Told) for node in nodes)
    return any(
        other.node != me and not other.draining and other.lag < DEAF_SECONDS / 2 for other in told
    )


class Hearing:
    """When each partition's canary was last heard. Pure: `now` is seconds of the clock by which beats are timed."""

    def __init__(self, lines: Sequence[Beating]) -> None:
        self._lines = lines
        self._heard: dict[int, float] = {}
        self._answered: dict[int, float] = {}
        self._retried: dict[int, float] = {}

    def hear(self, partition: int, now: float) -> None:
        """The canary has come back."""
        self._heard[partition] = now

    def answered(self, partition: int, now: float) -> None:
        """A beat was answered: its canary is waited for, from the first on, and anew after an outage."""
        if now - self._answered.get(partition, float("-inf")) > DEAF_SECONDS / 2:
            self._heard[partition] = now
        self._answered[partition] = now

    def retry(self, partition: int, now: float) -> bool:
        """Whether a deaf partition's connections are to be made anew now: not again before that can have helped."""
        last = self._retried.get(partition, float("-inf"))
        if partition not in self.deaf(now) or now - last < DEAF_SECONDS:
            return False
        self._retried[partition] = now
        return True

    def age(self, partition: int, now: float) -> float:
        """Seconds since a partition's canary was heard; 0 before it was waited for."""
        return now - self._heard.get(partition, now)

    def lag(self, now: float) -> float:
        """Seconds by which the bus is late, at the worst."""
        ages = [self.age(line.partition, now) for line in self._lines]
        return max(0.0, max(ages, default=0.0) - BEAT_AGE)

    def deaf(self, now: float) -> list[int]:
        """Partitions whose bus is not heard although their beats are answered: not an outage, but this node's own."""
        return [
            line.partition
            for line in self._lines
            if now - line.beaten_at < DEAF_SECONDS / 2
            and self.age(line.partition, now) > DEAF_SECONDS
        ]

    def lost(self, now: float) -> list[int]:
        """Partitions that this node has been deaf for so long that its clients are better off elsewhere."""
        most = DEAF_SECONDS + LOST_SECONDS
        return [partition for partition in self.deaf(now) if self.age(partition, now) > most]

    def away(self, now: float) -> list[int]:
        """Partitions whose store has not answered lately."""
        return [line.partition for line in self._lines if now - line.beaten_at > DEAF_SECONDS / 2]
