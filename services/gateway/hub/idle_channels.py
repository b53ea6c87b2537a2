"""Channels without listeners, kept up to date for a while, so that clients that return soon need no look."""

from __future__ import annotations


class IdleChannels:
    """Names of channels, each for `seconds`, at most `most` of them."""

    __slots__ = ("_most", "_seconds", "_until")

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._until: dict[str, float] = {}

    @property
    def next(self) -> float | None:
        """When the time of the first is over; None when there is none."""
        return next(iter(self._until.values())) if self._until else None

    def keep(self, name: str, now: float) -> None:
        """From now on; one that is kept already gains no time."""
        self._until.setdefault(name, now + self._seconds)

    def forget(self, name: str) -> None:
        """It has listeners again, or is gone."""
        self._until.pop(name, None)

    def over(self, now: float) -> list[str]:
        """Whose time is over, and the oldest of too many."""
        surplus = len(self._until) - self._most
        names = []
        for place, (name, until) in enumerate(self._until.items()):
            if until > now and place >= surplus:
                break
            names.append(name)
        return names
