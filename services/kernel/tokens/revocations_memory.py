"""Revocations in this process, for a server that is alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from services.kernel.tokens.revocations import Changes, Mark, Revocation

ANNOUNCED = 1000
"""Announcements kept. A reader that missed more reads the record whole."""


class MemoryRevocations:
    """The `Revocations` port. A mark names how many announcements there were. `clock` tells seconds since 1970."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._record: dict[str, float] = {}
        self._announced: deque[tuple[str, float]] = deque(maxlen=ANNOUNCED)
        self._count = 0

    async def add(self, *revocations: Revocation) -> None:
        """As `Revocations.add`: drops what has ended; to revoke again never shortens."""
        now = self._clock()
        self._record = {member: exp for member, exp in self._record.items() if exp > now}
        for one in revocations:
            self._record[one.member] = max(one.exp, self._record.get(one.member, 0.0))
            self._announced.append((one.member, one.exp))
        self._count += len(revocations)

    async def mark(self) -> Mark:
        """As `Revocations.mark`."""
        return Mark(str(self._count or ""), len(self._record))

    async def since(self, mark: Mark) -> Changes | None:
        """As `Revocations.since`."""
        missed = self._count - int(mark.announced or 0)
        if not 0 <= missed <= len(self._announced) or (
            not missed and len(self._record) != mark.size
        ):
            return None
        added = list(self._announced)[len(self._announced) - missed :]
        return Changes(await self.mark(), added)

    async def pages(self, now: float) -> AsyncIterator[Sequence[tuple[str, float]]]:
        """As `Revocations.pages`, in one."""
        yield [(member, exp) for member, exp in self._record.items() if exp > now]
