"""A fleet's record of revocations that may be away, or be read slowly."""

from __future__ import annotations

import asyncio

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Changes, Mark, Revoked


async def whole(record, now=0):
    """All that a record holds at `now`."""
    revoked = Revoked()
    async for page in record.pages(now):
        for member, exp in page:
            revoked.learn(member, exp)
    return revoked


class Record:
    """`reading` may hold a whole read back behind the moment at which it looked; the next `away` calls fail.

    What tests do to `known` themselves is announced to nobody. `down` fails every call; `reads` counts whole ones.
    """

    def __init__(self, known=()):
        self.known = list(known)
        self.announced = []
        self.away = 0
        self.down = False
        self.reads = 0
        self.reading = asyncio.Event()
        self.reading.set()

    def _check(self):
        if self.away or self.down:
            self.away = max(0, self.away - 1)
            raise OpenlineError(Code.UNAVAILABLE, "away")

    async def add(self, *revocations):
        self._check()
        self.known.extend(revocations)
        self.announced.extend(revocations)

    async def mark(self):
        self._check()
        return Mark(str(len(self.announced)), len(self.known))

    async def since(self, mark):
        self._check()
        added = self.announced[int(mark.announced) :]
        if not added and len(self.known) != mark.size:
            return None
        here = Mark(str(len(self.announced)), len(self.known))
        return Changes(here, [(one.member, one.exp) for one in added])

    async def pages(self, now):
        self.reads += 1
        found = [(one.member, one.exp) for one in self.known if one.exp > now]
        await self.reading.wait()
        self._check()
        yield found
