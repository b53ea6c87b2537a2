"""Faults of clients: they do not read, or are sent away."""

from __future__ import annotations

from loadtest.chaos.acts import Act


class SlowReaders(Act):
    """Half of the plain readers do not read for a while."""

    name = "slow-readers"
    lasts = (2.0, 12.0)
    host = False

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.front.readers("slow")

    async def end(self) -> None:
        """As `Act.end`."""
        await self.front.readers("fast")


class Disconnect(Act):
    """The back end closes the connections of a user of each plain kind (4004)."""

    name = "disconnect"
    host = False

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.front.disconnect()


ACTS: tuple[type[Act], ...] = (
    SlowReaders,
    Disconnect,
)
