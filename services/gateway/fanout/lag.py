"""What a subscription is behind by: of each conflation key the newest publication, until its connection has drained."""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeAlias

from services.gateway.fanout.backlog import PIECE
from services.gateway.fanout.conflation import key_of
from services.gateway.fanout.lag_budget import LagBudget
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

MAX_KEYS = 1000
MAX_BYTES = 256 * 1024
"""Of data and metadata that are kept for one subscription. With more keys or bytes it gets the channel's newest alone."""

OBJECTS = 600
"""Bytes that a publication takes beside its data and metadata: its objects, and its place here."""

COPIES = 3
"""How often its text is held: as it was stored, as a codec wrote it, and as a frame."""

Kept: TypeAlias = tuple[Publication, int]
"""A publication, and how many others were left out just before it."""


class Lag:
    """The state of one subscription that is behind. Pure.

    `sent` is the last offset that it was given, in epoch `epoch`. Publications without a key supersede one another: the
    newest of them is kept as one more key. Publications of its own that were acked meanwhile took their places: they are
    not left out, and nothing older of their key is given behind them.
    """

    __slots__ = ("_acked", "_budget", "_is_full", "_kept", "_size", "epoch", "sent")

    def __init__(self, position: Position, budget: LagBudget) -> None:
        self.epoch = position.epoch
        self.sent = position.offset
        self._budget = budget
        self._kept: dict[bytes | None, Publication] = {}  # in the channel's order
        self._size = 0
        self._acked: list[int] = []
        self._is_full = False

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, publication: Publication) -> bool:
        """The channel's next publication was not written. Whether it superseded one of the same key."""
        if self._is_full:
            return False
        key = key_of(publication)
        superseded = self._drop(key)
        size = _size(publication)
        if len(self._kept) >= MAX_KEYS or self._size + size > MAX_BYTES:
            self._give_up()
        elif self._budget.hold(_weight(size)):
            self._kept[key] = publication
            self._size += size
        else:
            self._give_up()
        return superseded and key is not None

    def acked(self, publication: Publication) -> None:
        """The channel's next publication is its own, and its ack was written."""
        if publication.offset:
            self._drop(key_of(publication))
            self._acked.append(publication.offset)

    def take(self) -> list[Kept]:
        """The oldest that are kept, PIECE bytes or all: they are written now."""
        taken: list[Kept] = []
        size = 0
        while self._kept and size < PIECE:
            key, publication = next(iter(self._kept.items()))
            self._drop(key)
            size += _size(publication)
            taken.append((publication, self.missed(publication.offset - 1)))
            self.sent = publication.offset
        # One that reads too slowly to ever be level may publish for days.
        del self._acked[: bisect_right(self._acked, self.sent)]
        return taken

    def missed(self, offset: int) -> int:
        """How many publications between what it was given last and `offset`, that included, it has not seen."""
        own = bisect_right(self._acked, offset) - bisect_right(self._acked, self.sent)
        return offset - self.sent - own

    def clear(self) -> None:
        """Keep nothing, and give the room back."""
        self._budget.release(COPIES * self._size + OBJECTS * len(self._kept))
        self._kept.clear()
        self._size = 0

    def _give_up(self) -> None:
        self.clear()
        self._is_full = True

    def _drop(self, key: bytes | None) -> bool:
        publication = self._kept.pop(key, None)
        if publication is None:
            return False
        size = _size(publication)
        self._size -= size
        self._budget.release(_weight(size))
        return True


def _size(publication: Publication) -> int:
    return len(publication.data) + len(publication.meta)


def _weight(size: int) -> int:
    return COPIES * size + OBJECTS
