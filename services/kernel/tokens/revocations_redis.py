"""Revocations in Redis: a sorted set for the fleet, scored by when each ends, and a stream of the newest beside it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from services.kernel.redis.client import Client
from services.kernel.redis.errors import RELOCATED, unavailable
from services.kernel.redis.keys import Keys
from services.kernel.redis.link import Command
from services.kernel.tokens.revocations import Changes, Mark, Revocation
from services.kernel.tokens.seal_redis import GUARD

_RECORD, _ANNOUNCED, _HISTORY = Keys(0).revoked, Keys(0).revoking, Keys(0).record
BATCH = 500
"""Revocations in one command: one that writes back a whole lost record must not hold the server up."""

PAGE = 500
"""Revocations read at once: a service must not stand still while it reads fifty thousand."""

ANNOUNCED = 1000
"""Announcements kept. A reader that missed more reads the record whole."""

_WHAT = "revocations cannot be read or kept"

# In one step, so that a reader that sees another size sees the announcement as well. GT: to revoke again never
# shortens; a new member is added all the same. The flag: the user to be stopped may have filled the memory.
_ADD = f"""#!lua flags=allow-oom
{GUARD}
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], 'GT', ARGV[i + 1], ARGV[i])
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', {ANNOUNCED}, '*', ARGV[i], ARGV[i + 1])
end
"""


class RedisRevocations:
    """The `Revocations` port. Adding also drops what has ended, so the set stays as small as what is in force."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock

    async def add(self, *revocations: Revocation) -> None:
        """As `Revocations.add`."""
        for start in range(0, len(revocations), BATCH):
            batch = revocations[start : start + BATCH]
            pairs = (part for one in batch for part in (one.member, one.exp))
            adding = ("EVAL", _ADD, 3, _HISTORY, _RECORD, _ANNOUNCED, self._clock() - 1, *pairs)
            await self._client.write(Command(adding, again=True), what=_WHAT)

    async def mark(self) -> Mark:
        """As `Revocations.mark`."""
        newest, count = await self._read(
            ("XREVRANGE", _ANNOUNCED, "+", "-", "COUNT", 1), ("ZCARD", _RECORD)
        )
        return Mark(newest[0][0].decode() if newest else "", count)

    async def since(self, mark: Mark) -> Changes | None:
        """As `Revocations.since`."""
        entries, count = await self._read(
            ("XRANGE", _ANNOUNCED, mark.announced or "-", "+", "COUNT", ANNOUNCED),
            ("ZCARD", _RECORD),
        )
        is_full = len(entries) == ANNOUNCED
        if mark.announced:
            # The last one that was seen is still there, or others may be gone with it.
            first, *entries = entries or [(b"", [])]
            if first[0].decode() != mark.announced:
                return None
        if is_full or (not entries and count != mark.size):
            return None
        newest = entries[-1][0].decode() if entries else mark.announced
        added = [(fields[0].decode(), float(fields[1])) for _, fields in entries]
        return Changes(Mark(newest, count), added)

    async def pages(self, now: float) -> AsyncIterator[Sequence[tuple[str, float]]]:
        """As `Revocations.pages`: from the end on, since what ends meanwhile is taken from the beginning."""
        start = 0
        while True:
            command = ("ZRANGE", _RECORD, start, start + PAGE - 1, "REV", "WITHSCORES")
            (rows,) = await self._read(command)
            page = [
                (member.decode(), float(exp))
                for member, exp in zip(rows[::2], rows[1::2], strict=True)
                if float(exp) > now
            ]
            yield page
            start += PAGE
            if len(page) < PAGE:
                return

    async def _read(self, *commands: tuple[object, ...]) -> list[Any]:
        # Where the partition has moved from there is no record any more, which must not be taken for an empty one.
        asked = (*commands, ("HGET", _HISTORY, "seal_until"))
        *replies, seal_until = await self._client.read(
            *(Command(command, again=True) for command in asked), what=_WHAT
        )
        if seal_until == b"moved":
            self._client.reset()  # the next call looks where it lives
            raise unavailable(RELOCATED, what=_WHAT, retry_after=1)
        return replies
