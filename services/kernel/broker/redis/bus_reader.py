"""Reading a partition's bus: blocking XREADs on a connection of its own, several of them ahead while the bus is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import MovedError

from services.kernel.broker.port import Batch, Take
from services.kernel.broker.redis import entries
from services.kernel.broker.redis.answers import Answers
from services.kernel.redis.connections import Check, Dial, check_master
from services.kernel.redis.errors import is_demoted
from services.kernel.redis.futures import settle
from services.kernel.redis.keys import connection as connection_name
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.redirects import REDIRECTS, Waits

WINDOW = 0.003
"""Seconds between two reads: a busy bus is read in batches, a quiet one at once.

Counted from when a read was sent, not from its answer: the read that follows an entry of a quiet bus is then sent with
that entry's work, while both processes are awake anyway, and needs no timer.
"""

LULL = 0.1
"""The same where no channel is wanted, until one is (`read_now`): a busy bus wakes a gateway without readers ten times a second."""

MOST = 1000
"""Entries a read returns at most."""

LONGEST = 10.0
"""Seconds a read may block at most: the connection gives up some seconds later."""

AHEAD = 16
"""Reads that are sent together while the bus is quiet, so that not every entry wakes the server once more for the next.

Ids are contiguous, so each reads after the entry that the one before it will bring: that entry alone, but for the last.
"""


class BusReader:
    """Holds no position: the caller names the id after which to read. Where that is not the next one that was sent ahead,
    or a read brought something else than the next entry, what was sent is given up with the connection.
    """

    def __init__(
        self, dial: Dial, bus: str, *, demoted: Callable[[], None], check: Check | None = None
    ) -> None:
        """`demoted` is called when the server says that it is not the master any more. `check` as for a link."""
        self._dial = dial
        self._bus = bus
        self._demoted = demoted
        self._check = check
        self._connection: Pipe | None = None
        self._sent_at = 0.0
        self._reads = 0
        self._resting: asyncio.Future[None] | None = None
        self._reading = False
        self._quiet = False
        self._behind = False
        self._resets = 0
        self._sent = Answers()
        self._block = 0.0
        self._after = 0  # with `_block` what the first of those is to be asked for by
        self._take: Take | None = None

    async def read(
        self,
        after: int,
        *,
        block: float,
        wanted: Collection[str] | None = None,
        take: Take | None = None,
    ) -> Batch:
        """Entries after an id, oldest first. Raises RedisError or OSError, after which the next read connects again.

        While the bus is quiet, entries of `wanted` channels or of none are looked at at once, and others together
        (`Answers`); with `take` the read goes on meanwhile.
        Where a cluster has moved the bus, it is read on at its new server: what moved with it has the same ids.
        """
        connection = self._connection
        if connection is not None and self._sent and (self._after, self._block) != (after, block):
            self._drop(connection)
        self._after, self._block = after, block
        self._take = take
        waits: Waits | None = None
        while True:
            try:
                return await self._read(wanted)
            except REDIRECTS as error:
                now = asyncio.get_running_loop().time()
                waits = waits or Waits(now)
                pause = waits.pause(now, moved=isinstance(error, MovedError))
                if not self._dial.redirect(error) or pause is None:
                    raise
                await asyncio.sleep(pause)

    async def _read(self, wanted: Collection[str] | None) -> Batch:
        connection = self._connection
        if connection is not None and connection.ended:
            self._drop(connection)
        if not self._sent:
            await self._send(self._after, self._block, is_lull=wanted is not None and not wanted)
        self._sent.wanted = wanted
        self._reading = True
        try:
            if self._sent and not self._sent.replies:
                await self._sent.enough()
            return self._received()
        except BaseException:
            self._give_up()
            raise
        finally:
            self._reading = False

    async def _send(self, after: int, block: float, *, is_lull: bool) -> None:
        loop = asyncio.get_running_loop()
        resets = self._resets
        window = LULL if is_lull and not self._behind else WINDOW
        pause = self._sent_at + window * self._reads - loop.time()
        if pause > 0:
            self._resting = loop.create_future()
            ended = loop.call_later(min(pause, window), settle, self._resting, None)
            try:
                await self._resting
            finally:
                ended.cancel()
            if self._connection is not None and self._connection.ended:
                self._drop(self._connection)
        connection = self._connection or await self._dialled()
        if resets != self._resets:
            self._drop(connection)
            raise Lost("the connection was reset before a read was sent")
        wait = ("BLOCK", max(1, int(min(block, LONGEST) * 1000))) if block > 0 else ()
        ahead = AHEAD - 1 if self._quiet and wait and pause <= 0 else 0
        self._sent_at, self._reads = loop.time(), 1 + ahead
        read = ("XREAD", "COUNT", 1, *wait, "STREAMS", self._bus)
        last = ("XREAD", "COUNT", MOST, *wait, "STREAMS", self._bus, f"0-{after + ahead}")
        commands = [(*read, f"0-{after + place}") for place in range(ahead)]
        self._sent = Answers(due=ahead + 1, hand_over=self._hand_over)
        connection.send_each([*commands, last], self._sent.take)

    def _hand_over(self) -> bool:
        """Give away what has come, instead of waking who reads; whether to go on like that."""
        return self._take is not None and self._take(self._received())

    def _received(self) -> Batch:
        """What the reads bring that are answered."""
        found: list[Any] = []
        first = after = self._after
        replies, self._sent.replies = self._sent.replies, []
        for reply in replies:
            if isinstance(reply, Exception):
                if is_demoted(reply):
                    self._demoted()
                raise reply
            more = entries.contiguous(reply[0][1]) if reply else []
            self._quiet = len(more) == 1
            self._behind = len(more) == MOST
            at = entries.number(more[0][0]) if more else 0
            if more and not found:
                first = at - 1
            is_next = bool(more) and at == first + len(found) + 1
            if is_next:
                found += more
            if not is_next or first != after:
                if self._sent.due:
                    self._give_up()  # those that follow would pass over what comes next
                break
        self._after = first + len(found)
        return entries.RawBatch(first, self._after, found)

    async def _dialled(self) -> Pipe:
        connection = await self._dial.connect(blocking=LONGEST, prepare=self._prepare)
        self._connection = connection
        return connection

    async def _prepare(self, pipe: Pipe) -> None:
        await check_master(pipe)
        if self._check is not None:
            await self._check(pipe)
        pipe.send([("CLIENT", "SETNAME", connection_name(self._dial.partition))])

    def read_now(self) -> None:
        """End the rest after the last read, if there is one."""
        if self._resting is not None:
            settle(self._resting, None)

    def reset(self) -> None:
        """End the connection, also one that is being opened; a read that waits fails, the next one connects again."""
        self._resets += 1
        if self._connection is not None:
            self._connection.cut()

    async def close(self) -> None:
        """Give the connection back."""
        self.reset()
        if self._connection is not None and not self._reading:
            self._drop(self._connection)

    def _give_up(self) -> None:
        if self._connection is not None:
            self._drop(self._connection)

    def _drop(self, connection: Pipe) -> None:
        if self._connection is connection:
            self._connection = None
            self._sent = Answers()
        connection.cut()
