"""What a service knows of the fleet's revocations: kept up by what is announced, and only ever more until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from services.kernel.tokens.revocations import Mark, Revocation, Revocations, Revoked

WHOLE_SECONDS = 300.0
"""Between two times at which the record is read whole although its mark is as expected: services of older versions
announce nothing."""

SLICE = 1000
"""Revocations looked at in one turn of the loop: others must not wait for fifty thousand."""

log = structlog.get_logger(__name__)


class KnownRevocations:
    """Follows the record. What is known stays until it has ended, whatever the record has lost.

    A record may have lost what is known here: a failover to a replica that lagged, a flush, an older backup. What it
    lacks is written back, or the next service to start would accept revoked tokens.

    `heard` gets each revocation that is learned from the record.
    """

    def __init__(
        self, record: Revocations, *, heard: Callable[[Revocation], None] = lambda _: None
    ) -> None:
        self.revoked = Revoked()
        self.loaded = False
        self._record = record
        self._heard = heard
        self._mark: Mark | None = None
        self._whole = float("-inf")
        self._reading = asyncio.Lock()

    async def catch_up(self, now: float, *, whole: bool = False) -> None:
        """Learn what others have revoked; `now` is seconds since 1970.

        `whole` reads the record whole, whatever its mark: when it may have lost what was added behind the mark and is
        known here by another way. Raises `unavailable`; once `loaded`, what is known counts all the same.
        """
        async with self._reading:
            if whole or self._mark is None or now - self._whole > WHOLE_SECONDS:
                await self._read_whole(now)
                return
            changes = await self._record.since(self._mark)
            if changes is None:
                await self._read_whole(now)
                return
            for member, exp in changes.added:
                self._learn(member, exp)
            self._mark = changes.mark

    async def _read_whole(self, now: float) -> None:
        # Taken first: what is added while pages are read is announced behind it.
        self._mark, mark = None, await self._record.mark()
        held: dict[str, float] = {}
        async for page in self._record.pages(now):
            for member, exp in page:
                held[member] = exp
                self._learn(member, exp)
        self.loaded = True
        self.revoked.drop_ended(now)
        lacking = await self._lacking(held)
        if lacking:
            await self._record.add(*lacking)
            log.warning("revocations_restored", count=len(lacking))
        self._mark, self._whole = mark, now

    def _learn(self, member: str, exp: float) -> None:
        if (revocation := self.revoked.learn(member, exp)) is not None:
            self._heard(revocation)

    async def _lacking(self, held: Mapping[str, float]) -> list[Revocation]:
        # By member: the record rounds a cutoff, so what was announced and what is read differ as values.
        known = self.revoked.items()
        lacking: list[Revocation] = []
        for start in range(0, len(known), SLICE):
            lacking += [
                one
                for member, one in known[start : start + SLICE]
                if held.get(member, float("-inf")) < one.exp
            ]
            await asyncio.sleep(0)
        return lacking
