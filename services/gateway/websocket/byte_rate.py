"""Bytes a second of a connection: between two pieces of a peer that sends much, others have their turn."""

from __future__ import annotations

from collections.abc import Callable, Hashable

PIECE = 65_536
"""Bytes that are read in a row. Between two pieces a proxy finds no room to write: nginx passes a WebSocket's bytes on for as
long as there are any and there is room, and all other connections of its worker wait."""

LARGE = 4_096
"""Bytes of a read from which on it is to be counted: smaller ones are bounded by the rate of frames."""

_SECOND = 1.0


class ByteRate:
    """Counts the bytes of this second for each peer whose reads are LARGE; all others cost nothing.

    `rate` is bytes a second, 0 = any number. `call_later` is the loop's.
    """

    __slots__ = ("_call_later", "_counts", "_waiting", "rate")

    def __init__(
        self, rate: float, *, call_later: Callable[[float, Callable[[], None]], object]
    ) -> None:
        self.rate = rate
        self._call_later = call_later
        self._counts: dict[Hashable, int] = {}  # since the last piece
        self._waiting: dict[Hashable, Callable[[], None]] = {}

    def is_waiting(self, peer: Hashable) -> bool:
        """Whether nothing may be read from it now."""
        return peer in self._waiting

    def count(self, peer: Hashable, size: int, resume: Callable[[], None]) -> bool:
        """Add bytes that it sent. True once they make a piece: read no more until `resume` is called."""
        if not self.rate:
            return False
        counts = self._counts
        if not counts:
            self._call_later(_SECOND, counts.clear)
        counts[peer] = sent = counts.get(peer, 0) + size
        if sent < PIECE or peer in self._waiting:
            return peer in self._waiting
        counts[peer] = 0
        self._waiting[peer] = resume
        self._call_later(sent / self.rate, lambda: self._go_on(peer, resume))
        return True

    def forget(self, peer: Hashable) -> None:
        """It has gone."""
        self._counts.pop(peer, None)
        self._waiting.pop(peer, None)

    def _go_on(self, peer: Hashable, resume: Callable[[], None]) -> None:
        if self._waiting.get(peer) is resume:
            del self._waiting[peer]
            resume()
