"""Tickets in this process, for a server that is alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.kernel.tokens.tickets import digest, make


class MemoryTickets:
    """The `Tickets` port. Issuing forgets those that ended. `clock` answers in seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    async def issue(self, token: str, *, ttl: float) -> str:
        """As `Tickets.issue`."""
        now = self._clock()
        self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
        ticket = make()
        self._kept[str(digest(ticket))] = (now + ttl, token)
        return ticket

    async def redeem(self, ticket: str) -> str | None:
        """As `Tickets.redeem`."""
        end, token = self._kept.pop(str(digest(ticket)), (float("-inf"), ""))
        return token if end > self._clock() else None
