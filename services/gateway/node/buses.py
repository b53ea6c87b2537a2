"""The buses of all partitions as this gateway follows them: a worker for each, and what canaries and beats tell of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import structlog

from services.gateway.fanout.audience import Audience
from services.gateway.hub.hub import Hub
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.metrics import Metrics
from services.gateway.node.bus_health import BusHealth
from services.gateway.node.control import ControlMessages
from services.gateway.node.lease import Lease
from services.gateway.node.partition import PartitionWorker
from services.gateway.node.turn import Turn
from services.kernel.broker.port import Beat, Beaten, Broker, Entry

log = structlog.get_logger(__name__)


class Buses:
    """`workers` by the number of their partition; `now` answers in seconds of the loop's clock."""

    def __init__(
        self,
        broker: Broker,
        *,
        lease: Lease,
        control: ControlMessages,
        audience: Callable[[str], Audience],
        budget: ReplayBudget[Any],
        metrics: Metrics,
        turn: Turn,
        now: Callable[[], float],
        resynced: Callable[[], None],
        renew: Callable[[], None],
        acknowledged: Callable[[], None],
    ) -> None:
        """`audience` makes a channel's. `resynced`: a bus may have lost entries; `renew`: the lease is a new one;
        `acknowledged`: a beat was answered, and `health` knows it.
        """
        self._broker = broker
        self._lease = lease
        self.control = control
        self.audience = audience
        self._budget = budget
        self._metrics = metrics
        self._turn = turn
        self._now = now
        self._resynced = resynced
        self._renew = renew
        self._on_acknowledged = acknowledged
        self.soon = asyncio.get_running_loop().call_soon
        self.workers = [self._worker(number) for number in range(broker.partitions)]
        self.health = BusHealth(self.workers)
        self._clocks: dict[int, float] = {}
        for number in range(len(self.workers)):
            metrics.resyncs.labels(number)
            metrics.bus_entries.labels(number)
            metrics.canary_age.labels(number).set_function(partial(self._canary_age, number))

    def _worker(self, number: int) -> PartitionWorker:
        return PartitionWorker(
            number,
            Hub(_Sink(self, number), new_epoch=_new_epoch, budget=self._budget),
            self._broker,
            beat=lambda: self._beat(number),
            on_acknowledged=self._acknowledged,
            metrics=self._metrics,
            turn=self._turn,
        )

    def _beat(self, partition: int) -> Beat:
        canary = not self.health.is_proven(partition)
        return self._lease.beat(lag=self.health.lag(self._now()), canary=canary)

    def _canary_age(self, partition: int) -> float:
        return self.health.canary_age(partition, self._now())

    def of(self, channel: str) -> PartitionWorker:
        """The worker of a channel's partition."""
        return self.workers[self._broker.partition(channel)]

    @property
    def started(self) -> bool:
        """Whether every partition has a position and a canary has come there once."""
        return all(worker.started.is_set() for worker in self.workers) and self.health.proven

    def stalled(self) -> list[int]:
        """Partitions whose bus brings nothing although their beats are answered: not an outage, but this node's own."""
        return self.health.stalled(self._now())

    def unavailable(self) -> list[int]:
        """Partitions whose store has not answered lately."""
        return self.health.unavailable(self._now())

    @property
    def full(self) -> bool:
        """Whether messages are refused in a partition, since the store's memory is short."""
        return any(worker.full for worker in self.workers)

    # What the workers report

    def canary(self, partition: int, entry: Entry, now: float) -> None:
        """A gateway's canary came, this one's or another's."""
        self.health.canary_came(partition, now)
        at = msgspec.json.decode(b"{" + entry.fragment + b"}").get("at")
        if partition in self._clocks and at is not None:
            lag = max(0.0, now - self._clocks[partition] - at / 1000)
            self._metrics.delivery_lag.labels(partition).set(lag)

    def resynced(self, partition: int) -> None:
        """Entries may have been missed."""
        self._metrics.resyncs.labels(partition).inc()
        self._resynced()
        log.info("bus_resynced", partition=partition)

    def _acknowledged(self, partition: int, beat: Beat, reply: Beaten) -> None:
        if self._lease.acknowledged(partition, beat, reply):
            self._renew()
        now = self._now()
        worker = self.workers[partition]
        self._clocks[partition] = worker.beat_sent_at - reply.at / 1000
        if self.health.acknowledged(partition, reply, now):
            worker.hurry()  # the reader begins behind the first canary: the next one need not wait a second
        behind = reply.bus - worker.position if worker.hub.following else 0
        self._metrics.bus_lag.labels(partition).set(max(0, behind))
        if self.health.retry(partition, now):
            log.warning("bus_stalled", partition=partition)
            worker.reconnect()
        self._on_acknowledged()


class _Sink:
    """What one partition's hub tells."""

    def __init__(self, buses: Buses, partition: int) -> None:
        self._buses = buses
        self._partition = partition

    def audience(self, channel: str) -> Audience:
        return self._buses.audience(channel)

    def control(self, entry: Entry) -> None:
        self._buses.control.handle(entry)

    def canary(self, entry: Entry, now: float) -> None:
        self._buses.canary(self._partition, entry, now)

    def resynced(self, now: float) -> None:
        del now
        self._buses.soon(partial(self._buses.resynced, self._partition))


def _new_epoch() -> str:
    return secrets.token_hex(6)
