"""The course of a handover: seal what a server holds, do the work, and unseal it at the server that goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from services.handover.masters import Master, RefusedError
from services.kernel.broker.redis import seals
from services.kernel.broker.redis.partitions import Partitions
from services.kernel.broker.redis.seals import Seal
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.servers import spelled

AGAIN = 0.02
"""Seconds between two questions to a server that is not there yet."""

MARGIN = 0.5
"""Seconds before the seals' end at which the work is given up: time to unseal the server that has not changed."""

LONGEST_WAIT = 3.0
"""Seconds for which replicas are waited for at most: a connection that is silent for longer counts as lost."""

Say = Callable[[str], None]
"""Takes a line of progress."""

_AWAY = (OpenlineError, RedisError, OSError, ConfigurationError, TimeoutError)


class Handover:
    """One handover of all partitions of a server. `seconds` is for how long writers may be refused."""

    def __init__(self, redis: Partitions, master: Master, *, seconds: float, say: Say) -> None:
        self.redis = redis
        self.master = master
        self.say = say
        self._seconds = seconds
        self._seals: Sequence[Seal] = ()
        self._begun = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds that the work may still take."""
        return self._begun + self._seconds - MARGIN - time.monotonic()

    async def run(self, work: Callable[[Handover], Awaitable[str]]) -> float:
        """Do the work while all is sealed; for how many seconds writers were refused.

        `work` returns the replication id of the server that goes on, and raises when the present one is to go on. Then,
        and when we are interrupted, that one is unsealed, and what was raised goes on. Each seal is undone once, so a
        server that is promoted all the same gets a new history.
        """
        await self._seal()
        try:
            replid = await work(self)
        except BaseException:
            await self._give_up()
            raise
        await self._unseal(replid)
        return time.monotonic() - self._begun

    async def _give_up(self) -> None:
        try:
            await self._unseal(self.master.replid)
            self.say(f"unsealed {self.master} where it was: nothing has changed")
        except RefusedError as error:
            self.say(str(error))

    async def _seal(self) -> None:
        self._begun = time.monotonic()
        sealing = (
            seals.seal(self.redis, number, seconds=self._seconds)
            for number in self.master.partitions
        )
        made = await asyncio.gather(*sealing, return_exceptions=True)
        self._seals = [one for one in made if isinstance(one, Seal)]
        failed = [one for one in made if isinstance(one, BaseException)]
        if failed:
            with suppress(RefusedError):
                await self._unseal(self.master.replid)
            raise RefusedError(f"cannot seal {self.master}: {_text(failed[0])}") from failed[0]
        self.say(f"sealed {self.master}: writers are refused, readers go on")

    async def copied(self) -> None:
        """Wait until every replica that is in step has all that was written. Raises RefusedError."""
        wanted = len(self.master.replicas)
        milliseconds = max(1, int(min(LONGEST_WAIT, self.left / 2) * 1000))
        waiting = (
            self.redis.parts[number].writes.ask(("WAIT", wanted, milliseconds))
            for number in self.master.partitions
        )
        try:
            have = [reply for (reply,) in await asyncio.gather(*waiting)]
        except _AWAY as error:
            raise RefusedError(f"cannot wait for replicas: {_text(error)}") from error
        refusals = [reply for reply in have if isinstance(reply, Exception)]
        if refusals:
            raise RefusedError(f"cannot wait for replicas: {refusals[0]}")
        if min(have) < wanted:
            raise RefusedError(
                f"only {min(have)} of {wanted} replicas had everything after {milliseconds / 1000:.1f} s:"
                " see why the others lag, and try again"
            )
        self.say(f"{wanted} of {wanted} replicas have everything")

    async def next_replid(self) -> str:
        """The replication id of the next server, or of the next start of the same one. Raises RefusedError."""
        part = self.redis.parts[self.master.partitions[0]]
        while self.left > 0:
            with suppress(*_AWAY):
                async with asyncio.timeout(max(AGAIN, self.left)):
                    replid = await seals.replication_id(part)
                if replid != self.master.replid:
                    self.say(f"the next master answers after {self._since():.2f} s")
                    return replid
            await asyncio.sleep(AGAIN)
        raise RefusedError(
            f"no other master answered within {self._since():.1f} s: look at the servers' logs, or give more time with --seconds"
        )

    def _since(self) -> float:
        return time.monotonic() - self._begun

    async def _unseal(self, replid: str) -> None:
        """Raises RefusedError for partitions that do not go on under their history id."""
        done = await asyncio.gather(*(self._unsealed(one, replid) for one in self._seals))
        left = [seal.partition for seal, ok in zip(self._seals, done, strict=True) if not ok]
        if left:
            raise RefusedError(
                f"{spelled(left)}: the server that is master now does not have the seal, or its time was over:"
                " it begins a new history, and its readers get a reset"
            )

    async def _unsealed(self, seal: Seal, replid: str) -> bool:
        """Ask until it is done: the connection to the former master may not have ended yet."""
        while True:
            with suppress(*_AWAY):
                async with asyncio.timeout(max(1.0, self.left)):
                    if await seals.unseal(self.redis, seal, replid=replid):
                        return True
            if self.left < -MARGIN:
                return False
            await asyncio.sleep(AGAIN)


def _text(error: BaseException) -> str:
    return error.message if isinstance(error, OpenlineError) else str(error) or type(error).__name__
