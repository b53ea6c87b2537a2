"""Deadlines that many connections share: one timer for all of them, and none while nobody waits."""

from __future__ import annotations

import asyncio
from typing import Protocol

PERIOD = 0.5
"""Seconds between two looks: how late an expiry can be."""


class Expiring(Protocol):
    """Who may miss a deadline; hashable."""

    def expire(self) -> None:
        """Called once, after the deadline."""


class Sweep:
    """Expires what was added and not discarded in time. `time` is the loop's clock in seconds."""

    __slots__ = ("_due", "_loop", "_timer", "time")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Expiring, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.time = loop.time

    def add(self, item: Expiring, *, seconds: float) -> None:
        """Let `item` expire in so many seconds; adding it again moves its deadline."""
        self._due[item] = self.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(PERIOD, self._turn)

    def discard(self, item: Expiring) -> None:
        """Forget `item`; does nothing if it is not waiting."""
        self._due.pop(item, None)

    def _turn(self) -> None:
        now = self.time()
        expired = [item for item, at in self._due.items() if at <= now]
        for item in expired:
            del self._due[item]
        # The timer goes first: an item that raises or adds another one must not stop the clock for the rest.
        self._timer = self._loop.call_later(PERIOD, self._turn) if self._due else None
        for item in expired:
            item.expire()
