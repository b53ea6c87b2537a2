"""Hands connections to gateways that have fewer, some a second, while `shedding.py` says so."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from prometheus_client import Counter

from services.gateway.node.drain import CHOICE, move
from services.gateway.node.newcomers import Newcomers
from services.gateway.node.registry import Registry
from services.gateway.node.shedding import Shedding
from services.gateway.session.session import Session
from services.kernel.broker.port import Broker
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.peers import peers
from services.kernel.ops import pace

LOOK_SECONDS = 1.0
"""Between two looks at the fleet."""

WITHIN_SECONDS = 10.0
"""In which a client chooses its moment; who has not gone is closed in the ten seconds after that."""

QUIET_SECONDS = 2.0
"""Without a sign of the client, after which it is not in the middle of something."""

HOLD_SECONDS = 5.0
"""For which newcomers are still turned away: a cookie leads those that were shed back here."""

TRIES = 20
"""Connections looked at for each one that is wanted."""

log = structlog.get_logger(__name__)


class Shedder:
    """Sheds the connections of one gateway. `shed` counts them by outcome, as `move` does."""

    def __init__(
        self,
        broker: Broker,
        registry: Registry,
        *,
        name: str,
        shed: Counter,
        now: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.newcomers = Newcomers()
        self._broker = broker
        self._registry = registry
        self._shed = shed
        self._now = now
        self._spawn = spawn
        self._shedding = Shedding(name)
        self._moving: list[Session] = []
        self._turning_away_until = float("-inf")

    @property
    def turns_away(self) -> bool:
        """Whether newcomers are to ask another gateway: else the front door's cookie would bring back who was shed."""
        return self._now() < self._turning_away_until

    async def run(self) -> None:
        """Look at the fleet until cancelled."""
        while True:
            await pace.pause(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Shed what is too much now."""
        was = self._shedding.active
        self.newcomers.forget(self._now())
        self._moving = [session for session in self._moving if not session.is_closed]
        try:
            number = await self._number()
        except OpenlineError:
            self._shedding.stop()
            number = 0
        if self._shedding.active and not was:
            log.info("shedding_started", connections=len(self._registry))
        elif was and not self._shedding.active:
            log.info("shedding_stopped", connections=len(self._registry))
        self._hand_over(number)
        if self._shedding.blocked:
            self._turning_away_until = float("-inf")
        elif self._shedding.active or self._moving:
            self._turning_away_until = self._now() + HOLD_SECONDS

    async def _number(self) -> int:
        fleet = peers(await self._broker.nodes())
        own, moving = len(self._registry), len(self._moving)
        return self._shedding.number(fleet, own=own, moving=moving, now=self._now())

    def _hand_over(self, number: int) -> None:
        chosen = self._choose(number) if number else []
        if chosen:
            self._moving += chosen
            self._spawn(move(chosen, WITHIN_SECONDS / CHOICE, drained=self._shed))

    def _choose(self, number: int) -> list[Session]:
        """Some by chance that are quiet, have settled and are not moving already."""
        since, moving = self._now() - QUIET_SECONDS, set(self._moving)
        sessions = list(self._registry)
        found: list[Session] = []
        for session in random.sample(sessions, min(len(sessions), TRIES * number)):
            if (
                session.id not in self.newcomers
                and session not in moving
                and session.is_quiet(since)
            ):
                found.append(session)
                if len(found) == number:
                    break
        return found
