"""What has come and was not taken yet: one buffer a channel, and what they hold up together."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from openline.errors import OpenlineError
from openline.types import Position

LIMIT = 1000
"""Events of a channel that wait before reading stops."""

STUFFED = 10
"""So many times as much may wait while somebody awaits an answer, which is behind what comes."""


class Crowd:
    """How many buffers are full. While one is, nothing is read; `changed` waits for that to end."""

    def __init__(self) -> None:
        self.full = 0
        self._stuffed = 0
        self._changed: asyncio.Future[None] | None = None

    def change(self, full: int = 0, stuffed: int = 0) -> None:
        """A buffer became full or has room again; or, without arguments, somebody awaits an answer now."""
        self.full += full
        self._stuffed += stuffed
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def stops(self, *, awaited: bool) -> bool:
        """Whether to stop reading. What somebody awaits is behind what comes: then more may wait."""
        return self._stuffed > 0 or (self.full > 0 and not awaited)

    async def changed(self) -> None:
        """Wait for the next change."""
        self._changed = asyncio.get_running_loop().create_future()
        try:
            await self._changed
        finally:
            self._changed = None


class Buffer:
    """The events of one channel, in wire order, each with the position that it brings."""

    def __init__(self, crowd: Crowd, limit: int = LIMIT) -> None:
        self._crowd = crowd
        self._limit = limit
        self._items: deque[tuple[Position | None, Any]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._level = 0
        self._ended = False
        self.error: OpenlineError | None = None
        self.live = asyncio.get_running_loop().create_future()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, position: Position | None, event: Any) -> None:
        """See Inbox."""
        items = self._items
        items.append((position, event))
        size = len(items)
        if size == self._limit and self._level == 0:
            self._level = 1
            self._crowd.change(full=1)
        elif size == self._limit * STUFFED and self._level == 1:
            self._level = 2
            self._crowd.change(stuffed=1)
        self._wake()

    def stand(self) -> None:
        """See Inbox."""
        if not self.live.done():
            self.live.set_result(None)

    def fail(self, error: OpenlineError) -> None:
        """See Inbox; what waits can still be taken."""
        self.error = error
        if not self.live.done():
            self.live.set_exception(error)
            self.live.exception()  # nobody may be waiting for it
        self.end()

    def leave(self, error: OpenlineError) -> None:
        """The client was left: what waits can still be taken, then it ends; who waits for it to stand gets `error`."""
        if not self.live.done():
            self.live.set_exception(error)
            self.live.exception()
        self.end()

    def end(self) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._wake()

    def discard(self) -> None:
        """Nobody takes anything any more."""
        self._items.clear()
        self._lower(0)
        self.live.cancel()
        self.end()

    def start(self) -> Position | None:
        """Where the subscription begins, as far as nothing that somebody must take stands before it."""
        for position, event in self._items:
            if event is None and position is not None:
                return position
            if position is not None:
                break
        return None

    async def take(self) -> tuple[Position | None, Any]:
        """The next one. Raises what ended it, or StopAsyncIteration when the client was left."""
        while not self._items:
            if self._ended:
                if self.error is not None:
                    raise self.error
                raise StopAsyncIteration
            await self._wait()
        item = self._items.popleft()
        if self._level:
            self._lower(len(self._items))
        return item

    def _lower(self, size: int) -> None:
        if self._level > 1 and size <= self._limit * STUFFED // 2:
            self._level = 1
            self._crowd.change(stuffed=-1)
        if self._level == 1 and size <= self._limit // 2:
            self._level = 0
            self._crowd.change(full=-1)

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("one task at a time reads a channel; open one for each task")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
