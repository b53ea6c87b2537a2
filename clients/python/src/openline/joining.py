"""How the messages of many tasks become one call: the first task to come leads, the others wait for it.

There is no task in the background, so there is nothing to start, to stop or to leak: whoever leads lets the loop turn
once, sends what has gathered, and hands over to the first of those who came meanwhile. One call is under way at a
time, which keeps the order of each channel. A leader that is cancelled puts back what has no outcome; the next one
sends it again, and the keys keep it from being stored twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.lowlevel

from openline import deliveries
from openline.calls import Item
from openline.deliveries import Outcome


class Waiting:
    """One message whose task waits for its outcome. `started`: when it was handed over, in monotonic seconds."""

    __slots__ = ("abandoned", "item", "outcome", "started", "woken")

    def __init__(self, item: Item, started: float) -> None:
        self.item = item
        self.started = started
        self.outcome: Outcome | None = None
        self.abandoned = False
        self.woken = anyio.Event()

    def settle(self, outcome: Outcome) -> None:
        """Give the outcome to the task that waits."""
        self.outcome = outcome
        self.woken.set()


class Joiner:
    """The messages that wait, in their order. `carry` settles those it is given, and may be cancelled."""

    def __init__(self, carry: Callable[[Sequence[Waiting]], Awaitable[None]]) -> None:
        self._carry = carry
        self._queue: deque[Waiting] = deque()
        self._led = False

    async def deliver(self, item: Item, started: float) -> Outcome:
        """What became of the message."""
        waiting = Waiting(item, started)
        self._queue.append(waiting)
        if self._led:
            await self._follow(waiting)
        else:
            self._led = True
        if waiting.outcome is None:
            await self._lead()
        assert waiting.outcome is not None
        return waiting.outcome

    async def _follow(self, waiting: Waiting) -> None:
        """Until there is an outcome, or the lead is ours."""
        try:
            await waiting.woken.wait()
        except BaseException:
            waiting.abandoned = True
            if waiting in self._queue:
                first = waiting is self._queue[0]
                self._queue.remove(waiting)
                if first and waiting.woken.is_set():
                    self._hand_over()
            raise

    async def _lead(self) -> None:
        taken: list[Waiting] = []
        try:
            await anyio.lowlevel.checkpoint()
            taken = self._take()
            await self._carry(taken)
        finally:
            # Our own message is the first; when we are cancelled nobody asks for it any more.
            left = [one for one in taken[1:] if one.outcome is None and not one.abandoned]
            if not taken:
                self._queue.popleft()
            self._queue.extendleft(reversed(left))
            self._hand_over()

    def _take(self) -> list[Waiting]:
        """As much as one call takes."""
        first = next(deliveries.chunks(waiting.item for waiting in self._queue))
        return [self._queue.popleft() for _ in first]

    def _hand_over(self) -> None:
        self._led = bool(self._queue)
        if self._queue:
            self._queue[0].woken.set()
