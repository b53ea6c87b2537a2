"""What a gateway may keep for all its subscriptions that are behind."""

from __future__ import annotations


class LagBudget:
    """Bytes, at most `limit` together. What several keep counts for each of them."""

    __slots__ = ("_limit", "held")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def hold(self, size: int) -> bool:
        """Take room; False when there is not as much."""
        if self.held + size > self._limit:
            return False
        self.held += size
        return True

    def release(self, size: int) -> None:
        """Give room back."""
        self.held -= size
