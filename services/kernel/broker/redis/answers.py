"""What the reads of a bus that were sent together have brought, and when their reader is to look at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container
from typing import Any

from services.kernel.broker.redis import entries

KEPT = 0.25
"""Seconds after which the next entry is looked at, wanted or not: the reader's position is what others are told of the bus."""


class Answers:
    """Replies of XREAD in their order, of `due` reads that are not answered yet. Bounded: nothing is sent from here.

    Replies that bring one entry each, none of a channel in `wanted` (None: all are), wait for the next. Where one is wanted or
    the time is over, `hand_over` takes them at once: waking a task costs several times what reading an entry does. All else
    wakes the reader: several entries in a reply, an error, nothing within the time, the last reply, and what
    `hand_over` leaves.
    """

    __slots__ = ("_hand_over", "_since", "_waker", "due", "replies", "wanted")

    def __init__(self, due: int = 0, hand_over: Callable[[], bool] = lambda: False) -> None:
        self.due = due
        self.replies: list[Any] = []
        self.wanted: Container[str] | None = None
        self._hand_over = hand_over
        self._waker: asyncio.Future[None] | None = None
        self._since = 0.0

    def __bool__(self) -> bool:
        """Whether there is anything left to look at or to wait for."""
        return bool(self.due or self.replies)

    def take(self, replies: list[Any]) -> None:
        """The next replies, as the connection has read them."""
        now = time.monotonic()
        if not self.replies:
            self._since = now
        self.due -= len(replies)
        self.replies += replies
        waker = self._waker
        if waker is None or waker.done():
            return
        if self.due:
            wanted = self._is_wanted(replies, now)
            if wanted is False or (wanted and self._hand_over()):
                return
        # What was handed over may have ended the connection, and that has come here.
        if not waker.done():
            waker.set_result(None)

    async def enough(self) -> None:
        """Wait until the replies are to be looked at. To be called while there are none."""
        self._waker = asyncio.get_running_loop().create_future()
        try:
            await self._waker
        finally:
            self._waker = None

    def _is_wanted(self, replies: list[Any], now: float) -> bool | None:
        """Whether these are to be looked at now; None where they are more than an entry in each reply."""
        wanted = self.wanted
        due = wanted is None or now - self._since >= KEPT
        for reply in replies:
            if not reply or isinstance(reply, Exception) or len(reply[0][1]) != 1:
                return None
            if not due:
                channel = entries.channel(reply[0][1][0][1])
                due = not channel or channel in wanted  # type: ignore[operator] # None is due
        return due
