"""What the publisher watches beside its calls: whether the broker answers, and which tokens were revoked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.kernel.broker.port import Broker
from services.kernel.domain.codes import OpenlineError
from services.kernel.http.health import MESSAGES_REFUSED, Readiness
from services.kernel.ops import pace
from services.kernel.redis.errors import unavailable
from services.kernel.redis.servers import spelled
from services.kernel.tokens.jwks import RemoteKeys
from services.kernel.tokens.known_revocations import KnownRevocations
from services.kernel.tokens.revocations import Revocations, Revoked

EVERY = 0.5
"""Seconds between two rounds: with the time that a round takes, a revocation holds here within a second."""

PATIENCE = 2.0
"""Seconds for a round: within three seconds readiness fits the facts, also when Redis hangs."""

REVOCATIONS_SECONDS = 1.5
"""Of them for the record of revocations: that server may hang while others answer."""

log = structlog.get_logger(__name__)


class Probes:
    """Asks the broker again and again; starts it once it can be reached. `clock` tells seconds since 1970."""

    def __init__(
        self,
        broker: Broker,
        revocations: Revocations,
        *,
        keys: RemoteKeys,
        clock: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._known = KnownRevocations(revocations)
        self._keys = keys
        self._clock = clock
        self._started = False
        self._problem: str | None = "not asked yet"
        self._full = False
        self._away: tuple[int, ...] = ()

    def revoked(self) -> Revoked:
        """The revocations as of the last round; an outage keeps those that are known."""
        return self._known.revoked

    def ready(self) -> Readiness:
        """Ready when messages can be stored, on one of several servers at least, and tokens be verified.

        Also while memory is short: deleting histories, disconnecting and revoking come this way.
        """
        detail = {
            "redis": self._state(),
            "memory": MESSAGES_REFUSED if self._full else "ok",
            "keys": "ok" if self._keys.loaded else "not fetched yet",
        }
        return Readiness(self._problem is None and self._keys.loaded, detail)

    def _state(self) -> str:
        if self._problem is not None:
            return self._problem
        away = self._away
        return f"{spelled(away)} away: messages to their channels are refused" if away else "ok"

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.ask()
            await pace.pause(EVERY)

    async def ask(self) -> None:
        """One round. Raises what the broker's start raises when the server can never serve."""
        before = self._state()
        try:
            async with asyncio.timeout(PATIENCE):
                if not self._started:
                    await self._broker.start()
                    self._started = True
                await self._ask_together()
            self._problem = None
        except OpenlineError as error:
            self._problem = error.message
        except TimeoutError:
            self._problem = f"no answer within {PATIENCE:g} s"
        if self._state() != before:
            log.info("broker_state_changed", state=self._state())

    async def _ask_together(self) -> None:
        """All questions in one round trip: twice a second each of them wakes two processes otherwise."""
        health, missed = await asyncio.gather(self._broker.health(), self._catch_up())
        self._away = health.away
        if missed is not None and 0 not in health.away:
            raise missed
        if health.full != self._full:
            log.info("store_memory_changed", full=health.full)
        self._full = health.full

    async def _catch_up(self) -> OpenlineError | None:
        """Why the record of revocations, which lives with partition 0, could not be read: those that are known count on."""
        try:
            async with asyncio.timeout(REVOCATIONS_SECONDS):
                await self._known.catch_up(self._clock())
        except OpenlineError as error:
            return error
        except TimeoutError:
            return unavailable("revocations are not read in time")
        return None
