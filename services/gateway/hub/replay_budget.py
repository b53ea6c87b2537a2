"""What this node holds in memory for clients that recover: pages of logs that wait to be joined or read, bounded together.

A history may hold tens of megabytes, and a client that recovers it is not slow: its buffer may hold it all. A dozen that never
read would fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from services.kernel.domain.publications import Publication

PATIENCE = 60.0
"""Seconds that a client has to read while others wait for the room that it takes."""

LARGE = 4096
"""Bytes of data above which each reader gets a frame of its own: kept, it would take as much again for each wire format."""

OBJECTS = 400
"""Bytes that a publication takes beside its data: its objects, and its place in lists."""

T = TypeVar("T", bound=Hashable)

Page = Sequence[Publication]


class ReplayBudget(Generic[T]):
    """Bytes, at most `limit` together; one holder alone may take more. Pure: `now` answers in seconds.

    What is held are pages of logs, and frames to be written. Clients that wait for one reply hold the same page: it counts
    once. `end` closes a client that has not read for long.
    """

    __slots__ = ("_end", "_held", "_limit", "_now", "_pieces", "_reading", "_total")

    def __init__(
        self,
        limit: int,
        *,
        now: Callable[[], float] = lambda: 0.0,
        end: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._limit = limit
        self._now = now
        self._end = end
        self._total = 0
        self._pieces: dict[int, tuple[object, int, set[T]]] = {}  # by the identity of the first
        self._held: dict[T, set[int]] = {}
        self._reading: dict[T, float] = {}

    @property
    def total(self) -> int:
        """Bytes that are held now."""
        return self._total

    def hold(self, holder: T, page: Page) -> bool:
        """Count a page; False when there is no room, even after the clients that do not read were closed."""
        known = self._pieces.get(id(page))
        if known is None:
            return self._add(holder, page, weight(page))
        known[2].add(holder)
        self._held.setdefault(holder, set()).add(id(page))
        return True

    def hold_bytes(self, reader: T, size: int) -> bool:
        """Count frames that a client is sent and has to read from now on."""
        if not self._add(reader, object(), size):
            return False
        self._reading.setdefault(reader, self._now())
        return True

    def _add(self, holder: T, piece: object, size: int) -> bool:
        if not self._fits(holder, size):
            for other in self.overdue():
                self._end(other)
            if not self._fits(holder, size):
                return False
        self._pieces[id(piece)] = piece, size, {holder}
        self._held.setdefault(holder, set()).add(id(piece))
        self._total += size
        return True

    def hand_over(self, holder: T, reader: T) -> None:
        """What was collected for `holder` is written to `reader` from now on."""
        mine = self._held.pop(holder, None)
        if mine is None:
            return
        for piece in mine:
            holders = self._pieces[piece][2]
            holders.discard(holder)
            holders.add(reader)
        self._held.setdefault(reader, set()).update(mine)
        self._reading.setdefault(reader, self._now())

    def release(self, holder: T) -> None:
        """It has read what it was sent, or has ended."""
        self._reading.pop(holder, None)
        for piece in self._held.pop(holder, ()):
            _, size, holders = self._pieces[piece]
            holders.discard(holder)
            if not holders:
                del self._pieces[piece]
                self._total -= size

    def overdue(self) -> list[T]:
        """Clients that have not read what they hold for longer than there is patience."""
        now = self._now()
        return [reader for reader, since in self._reading.items() if now - since >= PATIENCE]

    def _fits(self, holder: T, size: int) -> bool:
        alone = not self._held or (len(self._held) == 1 and holder in self._held)
        return alone or self._total + size <= self._limit


def weight(page: Page) -> int:
    """Bytes that publications take: data, meta, and the frames that are kept beside them."""
    return sum(_weigh(publication) for publication in page)


def _weigh(publication: Publication) -> int:
    size = len(publication.data) + len(publication.meta) + OBJECTS
    return size if len(publication.data) >= LARGE else 2 * size
