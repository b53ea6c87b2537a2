"""Where a partition's master is: asked before each connection is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from services.kernel.redis.store_url import Address

Moved = Callable[[Sequence[int]], None]
"""Called with the partitions whose master is at another address than it was."""


class Locator(Protocol):
    """Knows the masters' addresses, and who is to be told when one changes."""

    async def find(self, partition: int) -> Address | None:
        """Where the partition's master is now; None: where the URL says. Raises RedisError, OSError or ConfigurationError."""

    def doubt(self, partition: int) -> None:
        """What was found last could not be used, or is not the master: look again soon."""

    def redirect(self, partition: int, to: Address | None) -> bool:
        """A server of a cluster says that the partition is served elsewhere; whether we can go there, so try again."""

    async def close(self) -> None:
        """Ask nobody any more."""


class Fixed:
    """The server of the URL, which is always at its address."""

    async def find(self, partition: int) -> Address | None:  # noqa: ARG002
        """As `Locator.find`."""
        return None

    def doubt(self, partition: int) -> None:
        """As `Locator.doubt`: there is nobody to ask."""

    def redirect(self, partition: int, to: Address | None) -> bool:  # noqa: ARG002
        """As `Locator.redirect`: the URL leads nowhere else."""
        return False

    async def close(self) -> None:
        """As `Locator.close`."""


_: type[Locator] = Fixed
