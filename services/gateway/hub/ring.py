"""The newest publications of a channel, bounded in number and bytes, so that most joins need no call to the store."""

from __future__ import annotations

from collections.abc import Sequence

from services.kernel.domain.publications import Publication


class Ring:
    """Contiguous publications; the last one is the channel's position.

    A list cut from the front now and then: appending costs no more than a list's append, and an offset is an index.
    """

    __slots__ = ("_bytes", "_count", "_kept", "_limit")

    def __init__(self, count: int, limit: int) -> None:
        self._count = count
        self._limit = limit
        self._bytes = 0
        self._kept: list[Publication] = []

    def __len__(self) -> int:
        return len(self._kept)

    def append(self, publication: Publication) -> None:
        """Keep the channel's next publication."""
        kept = self._kept
        kept.append(publication)
        self._bytes += len(publication.data)
        if self._bytes > self._limit or len(kept) > self._count:
            self._trim()

    def base(self, offset: int) -> int:
        """The lowest position from which everything up to `offset`, the channel's, is kept."""
        return self._kept[0].offset - 1 if self._kept else offset

    def after(self, offset: int) -> list[Publication]:
        """What is kept above `offset`, oldest first."""
        kept = self._kept
        if not kept:
            return []
        return kept[max(0, offset + 1 - kept[0].offset) :]

    def newest(self, number: int) -> list[Publication]:
        """The newest `number`, or all when fewer are kept."""
        return self._kept[-number:] if number else []

    def prepend(self, publications: Sequence[Publication]) -> None:
        """Keep older ones that end just below the lowest kept, as far as there is room."""
        room = self._count - len(self._kept)
        older = publications[max(0, len(publications) - room) :]
        self._kept[:0] = older
        self._bytes += sum(len(publication.data) for publication in older)
        self._trim()

    def clear(self) -> None:
        """Forget all: the position has jumped."""
        self._kept.clear()
        self._bytes = 0

    def _trim(self) -> None:
        """Cut an eighth more than needed off the front, so that a busy channel cuts seldom."""
        kept = self._kept
        cut = 0
        if len(kept) > self._count:
            cut = len(kept) - self._count + self._count // 8
        self._bytes -= sum(len(publication.data) for publication in kept[:cut])
        while self._bytes > self._limit and cut < len(kept):
            self._bytes -= len(kept[cut].data)
            cut += 1
        del kept[:cut]
