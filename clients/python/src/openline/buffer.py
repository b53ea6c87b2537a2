"""What has come and was not taken yet: one buffer a reader, and what they hold up together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from openline.errors import OpenlineError
from openline.types import Position

LIMIT = 1000
"""Events of a channel that wait before reading stops."""

STUFFED = 10
"""So many times as much may wait while somebody awaits an answer, which is behind what comes."""


_FULL, _STUFFED = 1, 2


class Crowd:
    """The buffers that are full. While one holds up the others, nothing is read; `changed` waits for that to end."""

    def __init__(self) -> None:
        self.full: set[Buffer] = set()
        self._waiting: list[asyncio.Future[None]] = []

    def change(self) -> None:
        """A buffer became full or has room again, or somebody awaits an answer now."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def stops(self, *, awaited: bool) -> bool:
        """Whether to stop reading. What somebody awaits is behind what comes: then more may wait."""
        level = _STUFFED if awaited else _FULL
        return any(buffer.holds_up(level) for buffer in self.full)

    async def changed(self) -> None:
        """Wait for the next change."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter


class Buffer:
    """The events of one channel for one reader, in wire order, each with the position that it brings.

    `beside` is that of another reader of the channel, if there is one. While one of them has room, the others hold
    nothing up; who lets too much wait then gets what waits, and `slow_reader`.
    """

    def __init__(self, crowd: Crowd, limit: int = LIMIT, *, beside: Buffer | None = None) -> None:
        self._crowd = crowd
        self._limit = limit
        self._items: deque[tuple[Position | None, Any]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.peers: list[Buffer] = [] if beside is None else beside.peers
        self.peers.append(self)
        self.level = 0
        self._ended = False
        self._then: Callable[[], None] | None = None
        self.error: OpenlineError | None = None
        self.live = asyncio.get_running_loop().create_future()
        crowd.change()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, position: Position | None, event: Any) -> None:
        """See Inbox."""
        if self._ended:
            return
        self._items.append((position, event))
        if len(self._items) >= self._limit:
            self._fill(len(self._items))
        self._wake()

    def when_taken(self, work: Callable[[], None]) -> None:
        """See Inbox: not more than half of the limit."""
        self._then = work
        self._go_on()

    def holds_up(self, level: int) -> bool:
        """Whether all who read the channel have so much waiting."""
        return all(peer.level >= level for peer in self.peers)

    def stand(self) -> None:
        """See Inbox."""
        if not self.live.done():
            self.live.set_result(None)

    def fail(self, error: OpenlineError) -> None:
        """See Inbox; what waits can still be taken."""
        self.error = self.error or error
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
        self._ended, self._then = True, None
        if self in self.peers:
            self.peers.remove(self)
        self._lower(0)
        self._wake()

    def discard(self) -> None:
        """Nobody takes anything any more."""
        self._items.clear()
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
        if self.level:
            self._lower(len(self._items))
        if self._then is not None:
            self._go_on()
        return item

    def _go_on(self) -> None:
        work = self._then
        if work is not None and len(self._items) <= self._limit // 2:
            self._then = None
            work()

    def _fill(self, size: int) -> None:
        if self.level < _FULL:
            self.level = _FULL
            self._crowd.full.add(self)
        if self.level < _STUFFED and size >= self._limit * STUFFED:
            self.level = _STUFFED
        if self.level == _STUFFED and not self.holds_up(_STUFFED):
            self.fail(
                OpenlineError(
                    f"{size} events wait here while others read on; take them faster, or enter the channel again "
                    "with since=channel.position",
                    code="slow_reader",
                )
            )

    def _lower(self, size: int) -> None:
        before = self.level
        if size <= self._limit * STUFFED // 2:
            self.level = min(self.level, _FULL)
        if size <= self._limit // 2:
            self.level = 0
            self._crowd.full.discard(self)
        if self.level != before:
            self._crowd.change()

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
