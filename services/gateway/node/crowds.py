"""Addresses with many connections: the counts for the fleet, and the connections that came since the last report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Newcomer(Protocol):
    """A connection, or the session on it."""

    def close(self, code: int, reason: str = "") -> None:
        """End it."""


class Crowds:
    """Pure. An address with fewer connections here than a hundredth of `limit` is no crowd, and costs the store nothing.

    So over a fleet an address may have that much more for each further gateway, and no more.
    """

    def __init__(self, limit: int) -> None:
        self._least = max(1, limit // 100)
        self._counts: dict[str, int] = {}
        self._newcomers: dict[str, list[Newcomer]] = {}

    def has(self, count: int) -> bool:
        """Whether this number of connections here makes an address one that is reported to the fleet."""
        return count >= self._least

    def came(self, address: str, count: int, newcomer: Newcomer) -> None:
        """A connection has come to an address; `count` is the number here with it."""
        if self.has(count):
            self._counts[address] = count
            self._newcomers.setdefault(address, []).append(newcomer)

    def left(self, address: str, count: int) -> None:
        """A connection of an address has ended; `count` is the number here without it."""
        if self.has(count + 1):
            self._counts[address] = count if self.has(count) else 0

    def recount(self, counts: Mapping[str, int]) -> None:
        """The fleet has forgotten what it was told: these are all addresses here."""
        self._counts |= {address: n for address, n in counts.items() if self.has(n)}

    def report(self) -> tuple[dict[str, int], dict[str, list[Newcomer]]]:
        """The counts that have changed since the last report, and the connections that came, oldest first."""
        found = self._counts, self._newcomers
        self._counts, self._newcomers = {}, {}
        return found
