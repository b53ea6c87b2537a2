"""The lease of this gateway in the fleet: its incarnation, what it reports with each beat, and what follows a loss."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from services.gateway.node.partition import PartitionWorker
from services.gateway.node.presence import Presence
from services.gateway.node.registry import Registry
from services.gateway.node.reports import REPORT_SECONDS, Reports
from services.kernel.broker.port import KEEP_SECONDS, Beat, Beaten, Broker
from services.kernel.domain.codes import OpenlineError

KEPT_AT_ONCE = 500
"""Channels whose listeners are reported again with one report."""

log = structlog.get_logger(__name__)


class Lease:
    """Renewed by every beat that is answered.

    `incarnation` names this life of the gateway to the others: random, and new whenever the lease was lost. `former` is
    the one before, until its members have been entered again.
    """

    def __init__(
        self,
        broker: Broker,
        registry: Registry,
        *,
        name: str,
        version: str,
        now: Callable[[], float],
        draining: Callable[[], bool],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.incarnation = secrets.token_hex(8)
        self.former = ""
        self._broker = broker
        self._registry = registry
        self._name = name
        self._version = version
        self._now = now
        self._draining = draining
        self._spawn = spawn
        self._began = now()

    def beat(self, *, lag: float, canary: bool = False) -> Beat:
        """What the fleet sees of this gateway; `lag` is seconds by which the bus is late here, `canary` as in `Beat`."""
        node = {
            "node": self._name,
            "connections": len(self._registry),
            "accepted": self._registry.accepted,
            "subscriptions": sum(len(s.subscriptions) for s in self._registry),
            "lag": round(lag, 3),
            "version": self._version,
            "draining": self._draining(),
            "uptime": round(self._now() - self._began),
        }
        return Beat(
            incarnation=self.incarnation,
            node=msgspec.json.encode(node),
            former=self.former,
            canary=canary,
        )

    def acknowledged(self, partition: int, beat: Beat, reply: Beaten) -> bool:
        """A beat was answered: reap the gateways that have ended. True when the lease was lost: see `renew`."""
        for incarnation in reply.expired:
            self._spawn(self._reap(partition, incarnation))
        # A loss is reported by every partition; it is one loss.
        return reply.lost and beat.incarnation == self.incarnation

    def renew(
        self, reports: Reports, presence: Presence, workers: Iterable[PartitionWorker]
    ) -> None:
        """The lease was lost: take a new incarnation and register all connections, listeners and members again."""
        self.former, self.incarnation = self.incarnation, secrets.token_hex(8)
        log.warning("lease_lost", incarnation=self.incarnation)
        for user, count in self._registry.counts().items():
            reports.connections(user, count)
        reports.again()
        for session in self._registry:
            for subscription in session.subscriptions.values():
                if subscription.audience is not None:
                    reports.listeners(subscription.channel, len(subscription.audience))
        for worker in workers:
            worker.hurry()  # until the first beat the store takes nothing from the new incarnation
        self._spawn(self._restore(presence))

    async def _restore(self, presence: Presence) -> None:
        former = self.former
        await presence.enter_all()
        if self.former == former:
            self.former = ""

    async def resign(self) -> None:
        """End the lease. Raises `unavailable`."""
        await self._broker.resign(self.incarnation)

    async def _reap(self, partition: int, incarnation: str) -> None:
        with suppress(OpenlineError):
            while await self._broker.reap(partition, incarnation):  # noqa: ASYNC110 - time is what is waited for
                await asyncio.sleep(0)


async def keep_reporting(reports: Reports, workers: Iterable[PartitionWorker]) -> None:
    """Report all numbers of listeners again every now and then, some at a time: the store keeps what is listened to."""
    while True:
        await asyncio.sleep(KEEP_SECONDS)
        for worker in workers:
            names = worker.hub.listened()
            for start in range(0, len(names), KEPT_AT_ONCE):
                for name in names[start : start + KEPT_AT_ONCE]:
                    if listeners := worker.hub.listeners(name):
                        reports.listeners(name, listeners)
                await asyncio.sleep(REPORT_SECONDS)
