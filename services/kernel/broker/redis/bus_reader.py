"""Reading a partition's bus: one blocking XREAD after another on a connection of its own."""

from __future__ import annotations

import asyncio

from services.kernel.broker.port import Entry
from services.kernel.broker.redis import entries
from services.kernel.redis.connections import Dial, check_master
from services.kernel.redis.pipe import Pipe

WINDOW = 0.003
"""Seconds between two reads: a busy bus is read in batches, a quiet one at once.

Counted from when a read was sent, not from its answer: the read that follows an entry of a quiet bus is then sent with
that entry's work, while both processes are awake anyway, and needs no timer.
"""

MOST = 1000
"""Entries a read returns at most."""

LONGEST = 10.0
"""Seconds a read may block at most: the connection gives up some seconds later."""


class BusReader:
    """Holds no position: the caller names the id after which to read."""

    def __init__(self, dial: Dial, bus: str) -> None:
        self._dial = dial
        self._bus = bus
        self._connection: Pipe | None = None
        self._rest = 0.0
        self._reading = False

    async def read(self, after: int, *, block: float) -> list[Entry]:
        """Entries after an id, oldest first. Raises RedisError or OSError, after which the next read connects again."""
        loop = asyncio.get_running_loop()
        if (pause := self._rest - loop.time()) > 0:
            await asyncio.sleep(pause)
        if self._connection is not None and self._connection.ended:
            self._drop(self._connection)
        connection = self._connection or await self._dialled()
        wait = ("BLOCK", max(1, int(min(block, LONGEST) * 1000))) if block > 0 else ()
        command = ("XREAD", "COUNT", MOST, *wait, "STREAMS", self._bus, f"0-{after}")
        self._reading = True
        self._rest = loop.time() + WINDOW
        try:
            (reply,) = await connection.ask(command)
        except BaseException:
            self._drop(connection)
            raise
        finally:
            self._reading = False
        if isinstance(reply, Exception):
            self._drop(connection)
            raise reply
        if not reply:
            return []
        return [entries.entry(stream_id, fields) for stream_id, fields in reply[0][1]]

    async def _dialled(self) -> Pipe:
        connection = await self._dial.connect(blocking=LONGEST)
        try:
            await check_master(connection)
        except BaseException:
            connection.cut()
            raise
        self._connection = connection
        return connection

    def reset(self) -> None:
        """End the connection; a read that waits fails, the next one connects again."""
        if self._connection is not None:
            self._connection.cut()

    async def close(self) -> None:
        """Give the connection back."""
        self.reset()
        if self._connection is not None and not self._reading:
            self._drop(self._connection)

    def _drop(self, connection: Pipe) -> None:
        if self._connection is connection:
            self._connection = None
        connection.cut()
