"""Revocations in Redis: one sorted set for the fleet, scored by when each ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from services.kernel.redis.client import Client
from services.kernel.redis.keys import Keys
from services.kernel.redis.link import Command
from services.kernel.tokens.revocations import Revocation, Revoked

_KEY = Keys(0).revoked
BATCH = 500
"""Revocations in one command: one that writes back a whole lost record must not hold the server up."""

_WHAT = "revocations cannot be read or kept"


class RedisRevocations:
    """The `Revocations` port. Adding also drops what has ended, so the set stays as small as what is in force."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock

    async def add(self, *revocations: Revocation) -> None:
        """As `Revocations.add`."""
        for start in range(0, len(revocations), BATCH):
            batch = revocations[start : start + BATCH]
            # GT: to revoke again never shortens; a new member is added all the same.
            scored = (part for one in batch for part in (one.exp, one.member))
            adding = ("ZADD", _KEY, "GT", *scored)
            dropping = ("ZREMRANGEBYSCORE", _KEY, "-inf", self._clock() - 1)
            await self._client.write(
                Command(adding, again=True), Command(dropping, again=True), what=_WHAT
            )

    async def load(self, now: float) -> Revoked:
        """As `Revocations.load`."""
        command = ("ZRANGEBYSCORE", _KEY, f"({now}", "+inf", "WITHSCORES")
        (rows,) = await self._client.read(Command(command, again=True), what=_WHAT)
        return Revoked(_parse(zip(rows[::2], rows[1::2], strict=True)))


def _parse(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[Revocation]:
    for member, exp in rows:
        try:
            yield Revocation.parse(member.decode(), float(exp))
        except ValueError:
            # Written by a newer version: not to understand one must not void the others.
            continue
