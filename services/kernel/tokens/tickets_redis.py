"""Tickets in Redis: `ol:{p0}:ticket:<digest>` holds the token until it is used or too old."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.tickets import TTL, digest, make

PREFIX = "ol:{p0}:ticket:"


class RedisTickets:
    """The `Tickets` port. GETDEL is one step on the server: of two gateways only one gets the token."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def issue(self, token: str, *, ttl: float = TTL) -> str:
        """As `Tickets.issue`."""
        ticket = make()
        try:
            await self._client.set(f"{PREFIX}{digest(ticket)}", token, px=max(1, int(ttl * 1000)))
        except (RedisError, OSError) as error:
            raise _unavailable() from error
        return ticket

    async def redeem(self, ticket: str) -> str | None:
        """As `Tickets.redeem`."""
        key = digest(ticket)
        if key is None:
            return None
        try:
            token = await self._client.getdel(PREFIX + key)
        except (RedisError, OSError) as error:
            raise _unavailable() from error
        return token.decode() if isinstance(token, bytes) else token


def _unavailable() -> OpenlineError:
    return OpenlineError(
        Code.UNAVAILABLE, "tickets cannot be kept or used: Redis does not answer", retry_after=1
    )
