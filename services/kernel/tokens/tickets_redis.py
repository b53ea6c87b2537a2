"""Tickets in Redis: a key a ticket, which holds the token until it is used or too old."""

from __future__ import annotations

from services.kernel.redis.client import Client
from services.kernel.redis.keys import Keys
from services.kernel.redis.link import Command, anyhow
from services.kernel.tokens.tickets import digest, make

_KEYS = Keys(0)
_WHAT = "tickets cannot be kept or used"


class RedisTickets:
    """The `Tickets` port. GETDEL is one step on the server: of two gateways only one gets the token.

    Both commands are sent once more when the connection is lost: a ticket whose redemption was not answered is used up
    or is not, and only asking again tells.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def issue(self, token: str, *, ttl: float) -> str:
        """As `Tickets.issue`."""
        ticket = make()
        name = _KEYS.ticket(str(digest(ticket)))
        command = anyhow("SET", name, token, "PX", max(1, int(ttl * 1000)))
        await self._client.write(Command(command, again=True), what=_WHAT)
        return ticket

    async def redeem(self, ticket: str) -> str | None:
        """As `Tickets.redeem`."""
        key = digest(ticket)
        if key is None:
            return None
        command = Command(("GETDEL", _KEYS.ticket(key)), again=True)
        (token,) = await self._client.write(command, what=_WHAT)
        return None if token is None else str(token, "utf-8")
