"""Whether the bus still arrives: our canary comes back, or the bus is stalled here, or the store answers nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from services.kernel.domain.peers import peers

STALLED_SECONDS = 10.0
"""Age of our own canary, while beats are answered, at which the bus counts as stalled."""

AWAY_SECONDS = 2.5
"""Seconds without an answer to a heartbeat, one of which is sent each second, until /readyz names the store."""

LOST_SECONDS = 20.0
"""Seconds of a stalled bus until clients are moved. The connections are renewed twice before that."""

BEAT_AGE = 1.0
"""Age that a canary reaches between two beats when all is well."""


class Beating(Protocol):
    """A partition's driver as it is seen here; `beaten_at` is when its last beat was answered."""

    partition: int
    beaten_at: float


def healthy_peer_exists(nodes: Iterable[bytes], own_name: str) -> bool:
    """Whether another gateway receives the bus and takes clients."""
    return any(
        peer.node != own_name and not peer.draining and peer.lag < STALLED_SECONDS / 2
        for peer in peers(nodes)
    )


class BusHealth:
    """When each partition's canary last came. Pure: `now` is seconds of the clock by which beats are timed."""

    def __init__(self, workers: Sequence[Beating]) -> None:
        self._workers = workers
        self._came: dict[int, float] = {}
        self._acknowledged: dict[int, float] = {}
        self._retried: dict[int, float] = {}
        self._proven: set[int] = set()

    @property
    def proven(self) -> bool:
        """Whether every partition's canary has come at least once: before that nobody knows whether the bus arrives."""
        return len(self._proven) == len(self._workers)

    def canary_came(self, partition: int, now: float) -> None:
        """The canary has come back."""
        self._came[partition] = now
        self._proven.add(partition)

    def acknowledged(self, partition: int, now: float) -> bool:
        """A beat was answered: its canary is waited for, from the first on, and again after an outage.

        True the first time.
        """
        first = partition not in self._acknowledged
        if now - self._acknowledged.get(partition, float("-inf")) > STALLED_SECONDS / 2:
            self._came[partition] = now
        self._acknowledged[partition] = now
        return first

    def retry(self, partition: int, now: float) -> bool:
        """Whether to renew a stalled partition's connections now: not again before the last renewal can have helped."""
        last = self._retried.get(partition, float("-inf"))
        if partition not in self.stalled(now) or now - last < STALLED_SECONDS:
            return False
        self._retried[partition] = now
        return True

    def age(self, partition: int, now: float) -> float:
        """Seconds since a partition's canary came; 0 before it was waited for."""
        return now - self._came.get(partition, now)

    def lag(self, now: float) -> float:
        """Seconds by which the bus is late, at the worst."""
        ages = [self.age(worker.partition, now) for worker in self._workers]
        return max(0.0, max(ages, default=0.0) - BEAT_AGE)

    def stalled(self, now: float) -> list[int]:
        """Partitions whose bus brings nothing although their beats are answered: not an outage, but this node's own."""
        return [
            worker.partition
            for worker in self._workers
            if now - worker.beaten_at < STALLED_SECONDS / 2
            and self.age(worker.partition, now) > STALLED_SECONDS
        ]

    def lost(self, now: float) -> list[int]:
        """Partitions stalled for so long that this node's clients are better off elsewhere."""
        most = STALLED_SECONDS + LOST_SECONDS
        return [partition for partition in self.stalled(now) if self.age(partition, now) > most]

    def unavailable(self, now: float) -> list[int]:
        """Partitions whose store has not answered lately."""
        return [
            worker.partition for worker in self._workers if now - worker.beaten_at > AWAY_SECONDS
        ]
