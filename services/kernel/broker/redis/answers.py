"""What the reads of a bus that were sent together have brought, and when their reader is to look at it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Container
from typing import Any

from services.kernel.broker.redis import entries

KEPT = 0.25
"""Seconds after which the next entry wakes the reader, wanted or not: its position is what others are told of the bus."""


class Answers:
    """Replies of XREAD in their order, of `due` reads that are not answered yet. Bounded: nothing is sent from here.

    A reply that brings one entry of a channel that is not in `wanted` (None: all are) waits for the next, as waking a task
    costs several times what reading it does. All else wakes the reader: entries of no channel, several at once, an
    error, nothing within the time, and the last reply.
    """

    __slots__ = ("_since", "_waker", "due", "replies", "wanted")

    def __init__(self, due: int = 0) -> None:
        self.due = due
        self.replies: deque[Any] = deque()
        self.wanted: Container[str] | None = None
        self._waker: asyncio.Future[None] | None = None
        self._since = 0.0

    def __bool__(self) -> bool:
        """Whether there is anything left to look at or to wait for."""
        return bool(self.due or self.replies)

    def take(self, reply: Any) -> None:
        """The next reply, as the connection has read it."""
        if not self.replies:
            self._since = time.monotonic()
        self.due -= 1
        self.replies.append(reply)
        waker = self._waker
        if waker is not None and not waker.done() and not self._may_wait(reply):
            waker.set_result(None)

    async def enough(self) -> None:
        """Wait until the replies are to be looked at. To be called while there are none."""
        self._waker = asyncio.get_running_loop().create_future()
        try:
            await self._waker
        finally:
            self._waker = None

    def _may_wait(self, reply: Any) -> bool:
        if self.wanted is None or not self.due or not reply or isinstance(reply, Exception):
            return False
        found = reply[0][1]
        if len(found) != 1:
            return False
        channel = entries.channel(found[0][1])
        late = time.monotonic() - self._since >= KEPT
        return bool(channel) and channel not in self.wanted and not late
