"""Whether the bus still arrives: entries that beats tell of are read, or the bus is stalled here, or the store answers nobody."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from services.kernel.broker.port import Beaten
from services.kernel.domain.peers import peers

STALLED_SECONDS = 10.0
"""Seconds for which an entry that a beat told of has not arrived, while beats are answered, until the bus counts as stalled.

Canaries see to it that there is one: a beat adds an entry each second, or each third while nothing else comes
(`CANARY_SECONDS`, `QUIET_CANARY_SECONDS`).
"""

AWAY_SECONDS = 2.5
"""Seconds without an answer to a heartbeat, one of which is sent each second, until /readyz names the store."""

LOST_SECONDS = 20.0
"""Seconds of a stalled bus until clients are moved. The connections are renewed twice before that."""

TOLD = 64
"""Bus ids that are remembered until they arrive: more than beats tell before clients are moved."""


class Worker(Protocol):
    """A partition's worker as it is seen here. `beaten_at` is when its last beat was answered, `position` the bus id up to
    which everything has arrived, -1 while there is no position.
    """

    partition: int
    beaten_at: float

    @property
    def position(self) -> int:
        """See above."""


def healthy_peer_exists(nodes: Iterable[bytes], own_name: str) -> bool:
    """Whether another gateway receives the bus and takes clients."""
    return any(
        peer.node != own_name and not peer.draining and peer.lag < STALLED_SECONDS / 2
        for peer in peers(nodes)
    )


class BusHealth:
    """What beats have told of each partition's bus and has not arrived. Pure: `now` is seconds of the clock by which beats
    are timed; workers stand in the order of their partitions.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers
        self._told: list[deque[tuple[int, float]]] = [deque() for _ in workers]
        self._history = [""] * len(workers)
        self._acknowledged: dict[int, float] = {}
        self._retried: dict[int, float] = {}
        self._proven: set[int] = set()
        self._came: dict[int, float] = {}

    @property
    def proven(self) -> bool:
        """Whether a canary has come in every partition: before that nobody knows whether the bus arrives."""
        return len(self._proven) == len(self._workers)

    def is_proven(self, partition: int) -> bool:
        """Whether a canary has come in this partition."""
        return partition in self._proven

    def canary_came(self, partition: int, now: float) -> None:
        """A canary has come."""
        self._proven.add(partition)
        self._came[partition] = now

    def canary_age(self, partition: int, now: float) -> float:
        """Seconds since a canary came, counted anew after an outage; 0 before one was waited for."""
        return now - self._came.get(partition, now)

    def acknowledged(self, partition: int, reply: Beaten, now: float) -> bool:
        """A beat was answered: what it tells of is waited for. True the first time.

        What was told before does not count any more after an outage, nor where another bus has taken the place of that one.
        """
        first = partition not in self._acknowledged
        told = self._told[partition]
        outage = now - self._acknowledged.get(partition, float("-inf")) > STALLED_SECONDS / 2
        if outage:
            self._came[partition] = now
        if outage or reply.history != self._history[partition] or reply.bus < _last(told):
            told.clear()
        self._acknowledged[partition] = now
        self._history[partition] = reply.history
        self.age(partition, now)
        if len(told) < TOLD:
            told.append((reply.bus, now))
        return first

    def retry(self, partition: int, now: float) -> bool:
        """Whether to renew a stalled partition's connections now: not again before the last renewal can have helped."""
        last = self._retried.get(partition, float("-inf"))
        if partition not in self.stalled(now) or now - last < STALLED_SECONDS:
            return False
        self._retried[partition] = now
        return True

    def age(self, partition: int, now: float) -> float:
        """Seconds since a beat told of the oldest entry that has not arrived; 0 when all have."""
        told, position = self._told[partition], self._workers[partition].position
        while told and told[0][0] <= position:
            told.popleft()
        return now - told[0][1] if told else 0.0

    def lag(self, now: float) -> float:
        """Seconds by which the bus is late, at the worst."""
        ages = (self.age(worker.partition, now) for worker in self._workers)
        return max(ages, default=0.0)

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


def _last(told: deque[tuple[int, float]]) -> int:
    return told[-1][0] if told else 0
