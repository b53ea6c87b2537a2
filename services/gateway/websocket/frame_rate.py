"""Frames a second of a connection: a peer that sends more waits, and one that goes on for long is found out."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

SECOND = 1.0
PATIENCE = 10
"""Seconds in a row that a peer may send more than the rate."""

FEW = 64
"""Frames in a second up to which a peer sends little."""


class FrameRate:
    """Counts the frames of this second for each peer that sends any; a quiet peer costs nothing.

    `rate` is frames a second, 0 = any number. `call_later` is the loop's. A peer that sends more is held until the next second.
    """

    __slots__ = ("_before", "_call_later", "_counts", "_exempt", "_held", "_seconds", "rate")

    def __init__(
        self, rate: float, *, call_later: Callable[[float, Callable[[], None]], object]
    ) -> None:
        self.rate = rate or math.inf
        self._call_later = call_later
        self._counts: dict[Hashable, int] = {}
        self._before: dict[Hashable, int] = {}  # in the second before this one
        self._held: dict[Hashable, Callable[[], None]] = {}
        self._seconds: dict[Hashable, int] = {}  # in a row, of those held in the second before
        self._exempt: set[Hashable] = set()

    def left(self, peer: Hashable) -> float:
        """Frames that it may still send in this second."""
        return math.inf if peer in self._exempt else self.rate - self._counts.get(peer, 0)

    def exempt(self, peer: Hashable) -> None:
        """Let this peer send any number of frames, until it is forgotten."""
        self._exempt.add(peer)

    def is_busy(self, peer: Hashable) -> bool:
        """Whether it has sent more than a few in this second or the one before."""
        return max(self._counts.get(peer, 0), self._before.get(peer, 0)) > FEW

    def count(self, peer: Hashable, frames: int) -> None:
        """Add to the frames that it has sent."""
        counts = self._counts
        if not counts and not self._before:
            self._call_later(SECOND, self._next_second)
        counts[peer] = counts.get(peer, 0) + frames

    def hold(self, peer: Hashable, resume: Callable[[], None]) -> bool:
        """Call `resume` in the next second. False when the peer was held PATIENCE seconds in a row: it never stops."""
        if self._seconds.get(peer, 0) >= PATIENCE:
            return False
        self._held[peer] = resume
        return True

    def forget(self, peer: Hashable) -> None:
        """It has gone."""
        self._exempt.discard(peer)
        for known in (self._counts, self._before, self._held, self._seconds):
            known.pop(peer, None)

    def _next_second(self) -> None:
        held, self._held = self._held, {}
        self._seconds = {peer: self._seconds.get(peer, 0) + 1 for peer in held}
        self._before, self._counts = self._counts, {}
        if self._before:
            self._call_later(SECOND, self._next_second)
        for resume in held.values():
            resume()
