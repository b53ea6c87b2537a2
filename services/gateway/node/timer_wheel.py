"""When which session is to be looked at: one timer for all of them instead of one each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

SLOT = 0.25
"""Seconds of a slot: how late a tick may be."""


class Ticking(Protocol):
    """What the wheel turns; `slot` is the wheel's own."""

    slot: int

    def tick(self, now: float) -> float | None:
        """Do what is due; the time of the next tick, or None."""


T = TypeVar("T", bound=Ticking)


class Wheel(Generic[T]):
    """Slots of sessions by due time. Pure: times are arguments, in seconds of a monotonic clock."""

    __slots__ = ("_at", "_slots")

    def __init__(self, now: float) -> None:
        self._slots: dict[int, list[T]] = {}
        self._at = math.floor(now / SLOT)

    def put(self, item: T, at: float) -> None:
        """Tick `item` at this time; an earlier wish of its is void."""
        slot = max(math.ceil(at / SLOT), self._at + 1)
        if item.slot != slot:
            item.slot = slot
            self._slots.setdefault(slot, []).append(item)

    def forget(self, item: T) -> None:
        """Never tick it again."""
        item.slot = -1

    def __iter__(self) -> Iterator[T]:
        """Each that waits to be ticked, in no order."""
        for slot, items in self._slots.items():
            yield from (item for item in items if item.slot == slot)

    def due(self, now: float) -> Iterator[T]:
        """What is due at `now`; each is out of the wheel when it is yielded."""
        until = math.floor(now / SLOT)
        while self._at < until:
            self._at += 1
            for item in self._slots.pop(self._at, ()):
                if item.slot == self._at:
                    item.slot = -1
                    yield item
