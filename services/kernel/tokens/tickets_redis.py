"""Tickets in Redis: a key a ticket, which holds the token until it is used or too old."""

from __future__ import annotations

from services.kernel.redis.client import Client
from services.kernel.redis.keys import Keys
from services.kernel.redis.link import Command
from services.kernel.tokens.seal_redis import GUARD
from services.kernel.tokens.tickets import digest, make

_KEYS = Keys(0)
_WHAT = "tickets cannot be kept or used"

# The flags: who comes is let in while the memory is full.
_ISSUE = f"""#!lua flags=allow-oom
{GUARD}
return redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
"""

_REDEEM = f"""#!lua flags=allow-oom
{GUARD}
return redis.call('GETDEL', KEYS[2])
"""


class RedisTickets:
    """The `Tickets` port. A script is one step on the server: of two gateways only one gets the token.

    It refuses while the partition is handed over and where it has moved from, so the server that goes on has each ticket that was
    acknowledged, and none that was used.

    Both are sent once more when the connection is lost: a ticket whose redemption was not answered is used up or is not, and
    only asking again tells.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def issue(self, token: str, *, ttl: float) -> str:
        """As `Tickets.issue`."""
        ticket = make()
        names = (_KEYS.record, _KEYS.ticket(str(digest(ticket))))
        issuing = ("EVAL", _ISSUE, 2, *names, token, max(1, int(ttl * 1000)))
        await self._client.write(Command(issuing, again=True), what=_WHAT)
        return ticket

    async def redeem(self, ticket: str) -> str | None:
        """As `Tickets.redeem`."""
        key = digest(ticket)
        if key is None:
            return None
        redeeming = ("EVAL", _REDEEM, 2, _KEYS.record, _KEYS.ticket(key))
        (token,) = await self._client.write(Command(redeeming, again=True), what=_WHAT)
        return None if token is None else str(token, "utf-8")
