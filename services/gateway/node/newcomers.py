"""Which connections came lately: they are not moved again so soon."""

from __future__ import annotations

SETTLED_SECONDS = 300.0
"""After which a connection may be moved."""


class Newcomers:
    """Remembers the connections of the last SETTLED_SECONDS alone, so that those that stay cost nothing. Pure."""

    __slots__ = ("_came",)

    def __init__(self) -> None:
        self._came: dict[str, float] = {}  # by time

    def came(self, connection: str, now: float) -> None:
        """A connection has come."""
        self._came[connection] = now

    def forget(self, now: float) -> None:
        """Drop those that have settled."""
        for connection in list(self._came):
            if now - self._came[connection] < SETTLED_SECONDS:
                return
            del self._came[connection]

    def __contains__(self, connection: str) -> bool:
        return connection in self._came

    def __len__(self) -> int:
        return len(self._came)
