"""Revocations in Redis: the sorted set `ol:{p0}:revoked`, scored by when each ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Revocation, Revoked

KEY = "ol:{p0}:revoked"


class RedisRevocations:
    """The `Revocations` port. Adding also drops what has ended, so the set stays as small as what is in force."""

    def __init__(self, client: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock

    async def add(self, revocation: Revocation) -> None:
        """As `Revocations.add`."""
        try:
            # GT: to revoke again never shortens; a new member is added all the same.
            await self._client.zadd(KEY, {revocation.member: revocation.exp}, gt=True)
            await self._client.zremrangebyscore(KEY, "-inf", self._clock() - 1)
        except (RedisError, OSError) as error:
            raise _unavailable() from error

    async def load(self, now: float) -> Revoked:
        """As `Revocations.load`."""
        try:
            rows = await self._client.zrangebyscore(KEY, f"({now}", "+inf", withscores=True)
        except (RedisError, OSError) as error:
            raise _unavailable() from error
        return Revoked(_parse(rows))


def _parse(rows: Iterable[Any]) -> Iterator[Revocation]:
    for member, exp in rows:
        text = member.decode() if isinstance(member, bytes) else member
        try:
            yield Revocation.parse(text, float(exp))
        except ValueError:
            # Written by a newer version: not to understand one must not void the others.
            continue


def _unavailable() -> OpenlineError:
    return OpenlineError(
        Code.UNAVAILABLE, "revocations cannot be read or kept: Redis does not answer", retry_after=1
    )
