"""Large replays that connections of this node were sent at once and have not read yet: bounded together.

A history may hold tens of megabytes, and a client that recovers it is not slow: its own buffer may hold it all. A hundred that never
read would fill the memory.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

PATIENCE = 60.0
"""Seconds that a connection has to read while others wait for the room that it takes."""

T = TypeVar("T", bound=Hashable)


class ReplayBudget(Generic[T]):
    """Bytes by connection, at most `limit` together; one replay alone may be larger. Pure: `now` is in seconds."""

    __slots__ = ("_limit", "_total", "_unread")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._unread: dict[T, tuple[int, float]] = {}

    def admit(self, size: int) -> bool:
        """Whether this many bytes may be sent now."""
        return not self._total or self._total + size <= self._limit

    def hold(self, connection: T, size: int, now: float) -> None:
        """Count bytes sent to a connection."""
        before, since = self._unread.get(connection, (0, now))
        self._unread[connection] = before + size, since
        self._total += size

    def release(self, connection: T) -> None:
        """A connection has read what it was sent, or has ended."""
        size, _ = self._unread.pop(connection, (0, 0.0))
        self._total -= size

    def overdue(self, now: float) -> list[T]:
        """Connections that have not read for longer than there is patience."""
        return [c for c, (_, since) in self._unread.items() if now - since >= PATIENCE]
