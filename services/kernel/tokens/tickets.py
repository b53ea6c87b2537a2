"""Single-use tickets: a short-lived stand-in for a token in a URL, where logs and histories would keep the token."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Protocol

_TICKET = re.compile(r"[A-Za-z0-9_-]{43}\Z")


class Tickets(Protocol):
    """Tickets of the whole fleet. A ticket is redeemed at most once, whoever asks and however many ask at once."""

    async def issue(self, token: str, *, ttl: float) -> str:
        """A new ticket for a token that was verified, good for `ttl` seconds. Raises `unavailable`."""

    async def redeem(self, ticket: str) -> str | None:
        """The token, which is to be verified again; None for a ticket that is unknown, used or too old.

        Raises `unavailable`.
        """


def make() -> str:
    """A new ticket: 256 random bits."""
    return secrets.token_urlsafe(32)


def digest(ticket: str) -> str | None:
    """Under what a ticket is stored, so that a reader of the store cannot use it; None for a malformed ticket."""
    if not _TICKET.match(ticket):
        return None
    return hashlib.sha256(ticket.encode()).hexdigest()
