"""What connections of this node were sent at once because they had missed it, and have not read yet: bounded together.

A history may hold tens of megabytes, and who recovers it is not slow: its own buffer may hold it all. A hundred that never
read would fill the memory.
"""

from __future__ import annotations

from collections.abc import Hashable


class Replays:
    """Bytes by connection, at most `limit` together; one alone may be larger."""

    __slots__ = ("_limit", "_total", "_unread")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._unread: dict[Hashable, int] = {}

    def admit(self, size: int) -> bool:
        """Whether so many bytes may be sent to one more."""
        return not self._total or self._total + size <= self._limit

    def hold(self, connection: Hashable, size: int) -> None:
        """A connection was sent so many bytes."""
        self._total += size
        self._unread[connection] = self._unread.get(connection, 0) + size

    def release(self, connection: Hashable) -> None:
        """A connection has read what it was sent, or has ended."""
        self._total -= self._unread.pop(connection, 0)
