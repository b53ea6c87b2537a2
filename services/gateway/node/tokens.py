"""Whom tokens and tickets stand for: verified, and not revoked meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from services.gateway.node.control import ControlMessages
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens import revocations
from services.kernel.tokens.tickets import Tickets
from services.kernel.tokens.verifier import Verifier


class Tokens:
    """What a handshake asks. `wall` answers in seconds since 1970."""

    def __init__(
        self,
        verifier: Verifier,
        tickets: Tickets,
        control: ControlMessages,
        *,
        wall: Callable[[], float],
    ) -> None:
        """`control` knows what was revoked."""
        self._verifier = verifier
        self._tickets = tickets
        self._control = control
        self._wall = wall

    def seen(self, token: str) -> Claims | None:
        """The claims of a token that was verified before and is still good; None tells nothing about it."""
        claims = self._verifier.cached(token, self._wall())
        return None if claims is None or self._control.covers(claims) else claims

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token that was not revoked. Raises `unauthorized` or `unavailable`."""
        claims = self._verifier.cached(token, self._wall())
        if claims is None:
            claims = await self._verifier.verify(token, self._wall())
        self.check(claims)
        return claims

    def check(self, claims: Claims) -> None:
        """Raises `unauthorized` when their token was revoked since it was verified."""
        if self._control.covers(claims):
            raise revocations.refusal()

    async def redeem(self, ticket: str) -> Claims:
        """The claims of the token that a ticket stands for. Raises `unauthorized` or `unavailable`."""
        token = await self._tickets.redeem(ticket)
        if token is None:
            raise OpenlineError(
                Code.UNAUTHORIZED, "the ticket is unknown, used or older than 30 s; get a new one"
            )
        return await self.verify(token)
