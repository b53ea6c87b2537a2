"""A fleet's record of revocations that may be away, or be read slowly."""

from __future__ import annotations

import asyncio

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Revoked


class Record:
    """`reading` may hold a read back behind the moment at which it looked; the next `away` reads fail."""

    def __init__(self, known=()):
        self.known = list(known)
        self.away = 0
        self.reads = 0
        self.reading = asyncio.Event()
        self.reading.set()

    async def load(self, now):
        self.reads += 1
        found = Revoked(self.known)
        await self.reading.wait()
        if self.away:
            self.away -= 1
            raise OpenlineError(Code.UNAVAILABLE, "away")
        return found

    async def add(self, *revocations):
        if self.away:
            self.away -= 1
            raise OpenlineError(Code.UNAVAILABLE, "away")
        self.known.extend(revocations)
