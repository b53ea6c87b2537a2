"""Tokens that come as a message: whose they are, and with which code the connection ends when they are no good."""

from __future__ import annotations

from services.gateway.session.session import Session
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, Code, OpenlineError


async def claims_of(session: Session, token: str | None) -> Claims | None:
    """The claims of the token that opens a session, None without one; closes the session when the token is not accepted."""
    if token is None:
        return None
    try:
        return await session.node.verify(token)
    except OpenlineError as error:
        reject(session, error)
        return None


def reject(session: Session, error: OpenlineError) -> None:
    """End a session whose token is not accepted, or cannot be verified now."""
    if error.code is Code.UNAVAILABLE:
        session.close(Close.OVERLOADED, error.message)
    else:
        session.close(Close.TOKEN_EXPIRED if error.expired else Close.UNAUTHORIZED, error.message)
