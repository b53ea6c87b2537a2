"""Where the master is: asked before each connection is made."""

from __future__ import annotations

from typing import Protocol

from services.kernel.redis.store_url import Address


class Locator(Protocol):
    """Knows the master's address, and who is to be told when it changes."""

    async def find(self) -> Address | None:
        """Where the master is now; None: where the URL says. Raises RedisError, OSError or ConfigurationError."""

    def doubt(self) -> None:
        """What was found last could not be used, or is not the master: look again soon."""

    async def close(self) -> None:
        """Ask nobody any more."""


class Fixed:
    """The server of the URL, which is always at its address."""

    async def find(self) -> Address | None:
        """As `Locator.find`."""
        return None

    def doubt(self) -> None:
        """As `Locator.doubt`: there is nobody to ask."""

    async def close(self) -> None:
        """As `Locator.close`."""


_: type[Locator] = Fixed
