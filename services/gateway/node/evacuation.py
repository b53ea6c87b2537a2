"""What a gateway does that stays deaf although others hear: it moves its clients to them, and waits until it hears."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from services.gateway.metrics import Metrics
from services.gateway.node.bus_health import Hearing, refuge
from services.gateway.node.drain import drain
from services.gateway.node.registry import Roster
from services.kernel.broker.port import Broker
from services.kernel.domain.codes import OpenlineError

log = structlog.get_logger(__name__)


class Evacuation:
    """Begins when `due` says so, and is over when all is heard again that was not.

    Nobody is moved while no other gateway hears: what makes all of them deaf is not mended by moving clients about.
    """

    def __init__(
        self,
        hearing: Hearing,
        roster: Roster,
        broker: Broker,
        *,
        name: str,
        seconds: float,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        """`seconds`: over which clients are moved."""
        self._hearing = hearing
        self._roster = roster
        self._broker = broker
        self._name = name
        self._seconds = seconds
        self._metrics = metrics
        self._now = now
        self._unheard: set[int] = set()
        self._running = False

    @property
    def active(self) -> bool:
        """Whether clients are to go elsewhere."""
        return bool(self._unheard)

    @property
    def due(self) -> bool:
        """Whether `run` is to be called: also for who opens afterwards, on a connection that was accepted before."""
        wanted = bool(len(self._roster)) if self._unheard else bool(self._hearing.lost(self._now()))
        return wanted and not self._running

    async def run(self) -> None:
        """Move the clients, if another gateway hears."""
        self._running = True
        try:
            if self._unheard or await self._begins():
                await drain(self._roster, self._seconds, drained=self._metrics.drained)
        finally:
            self._running = False

    async def _begins(self) -> bool:
        others_hear = await self._others_hear()
        lost = self._hearing.lost(self._now())
        if not others_hear or not lost:
            return False
        self._unheard.update(lost)
        self._metrics.evacuations.inc()
        log.error("deaf_moving_clients", partitions=lost, connections=len(self._roster))
        return True

    def heard(self, partition: int) -> None:
        """A partition's canary has come back. While clients are being moved the next one counts, a second later."""
        if partition in self._unheard and not self._running:
            self._unheard.discard(partition)
            if not self._unheard:
                log.info("hearing_again")

    async def _others_hear(self) -> bool:
        try:
            return refuge(await self._broker.nodes(), self._name)
        except OpenlineError as error:
            log.debug("nodes_failed", error=error.message)
            return False
