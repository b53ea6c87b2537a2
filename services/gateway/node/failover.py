"""What a gateway does whose bus stays stalled while its peers are healthy: it moves its clients, and then ends.

Its supervisor restarts it, as after the watchdog. Nobody is moved while no peer is healthy: what stalls all of them is
not mended by moving clients about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from services.gateway.node.bus_health import BusHealth, healthy_peer_exists
from services.kernel.broker.port import Broker
from services.kernel.domain.codes import OpenlineError

STATUS = 75
"""Exit status (EX_TEMPFAIL of sysexits.h): start it again."""

log = structlog.get_logger(__name__)


class Failover:
    """Drains this gateway once its bus is lost, then calls `end` with a reason. `active`: it has begun."""

    def __init__(
        self,
        bus_health: BusHealth,
        broker: Broker,
        *,
        name: str,
        drain: Callable[[], Awaitable[None]],
        end: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self.active = False
        self._bus_health = bus_health
        self._broker = broker
        self._name = name
        self._drain = drain
        self._end = end
        self._now = now
        self._looking = False

    @property
    def due(self) -> bool:
        """Whether `run` is to be called."""
        return bool(self._bus_health.lost(self._now())) and not (self.active or self._looking)

    async def run(self) -> None:
        """Move the clients and end, if a healthy peer can take them."""
        self._looking = True
        try:
            peers = await self._healthy_peer()
        finally:
            self._looking = False
        lost = self._bus_health.lost(self._now())
        if not peers or not lost or self.active:
            return
        self.active = True
        log.error("bus_lost", partitions=lost)
        await self._drain()
        self._end(
            f"the bus of partitions {lost} stays stalled here while other gateways receive it"
        )

    async def _healthy_peer(self) -> bool:
        try:
            return healthy_peer_exists(await self._broker.nodes(), self._name)
        except OpenlineError as error:
            log.debug("peer_query_failed", error=error.message)
            return False
