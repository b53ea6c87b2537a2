"""The credentials of a handshake: its token, wherever the client put it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from services.gateway.transports.handshake_request import ClientRequest
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins

COOKIE = "openline_token"


class Later(Enum):
    """The handshake brought no token: the first message must."""

    LATER = "later"


LATER = Later.LATER


class Verifying(Protocol):
    """What knows tokens and tickets."""

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token."""

    async def redeem(self, ticket: str) -> Claims:
        """The claims of the token a ticket stands for."""


class Credential(NamedTuple):
    """A token, or a ticket that stands for one."""

    text: str
    is_ticket: bool = False


async def identify(
    request: ClientRequest, verifying: Verifying, origins: Origins
) -> Claims | Later | None:
    """Claims, None for an anonymous session, or LATER. Raises as `credential` and `verify` do."""
    found = credential(request, origins)
    return await verify(found, verifying) if isinstance(found, Credential) else found


async def verify(found: Credential, verifying: Verifying) -> Claims:
    """The claims that a credential stands for. Raises `unauthorized` or `unavailable`."""
    if found.is_ticket:
        return await verifying.redeem(found.text)
    return await verifying.verify(found.text)


def credential(request: ClientRequest, origins: Origins) -> Credential | Later | None:
    """What a client brings, None when it wants to be anonymous, or LATER.

    The first found counts: Authorization, `ticket`, `token`, cookie, `anonymous`. Raises `unauthorized` for an empty
    ticket or token, `forbidden` for a cookie from a foreign page (a browser sends cookies wherever it was told to connect
    from).
    """
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if bearer and scheme.lower() == "bearer":
        return Credential(bearer.strip())
    query = request.query_params
    if (ticket := query.get("ticket")) is not None:
        return Credential(_given("ticket", ticket), is_ticket=True)
    if (token := query.get("token")) is not None:
        return Credential(_given("token", token))
    if cookie := _cookie(request.headers.get("cookie", "")):
        _check_origin(request, origins)
        return Credential(cookie)
    return None if query.get("anonymous") == "1" else LATER


def _given(name: str, text: str) -> str:
    """Raises `unauthorized` for an empty one: a page whose variable was not set would wait for nothing."""
    if not text:
        raise OpenlineError(
            Code.UNAUTHORIZED, f"?{name}= is empty: put the {name} there, or leave the field out"
        )
    return text


def _cookie(header: str) -> str:
    """The token in a Cookie header (RFC 6265 section 4.2.1), or nothing. Of two the last counts.

    Nothing else is read: Python's own parser takes seconds to unquote a crafted value of 32 KB.
    """
    found = ""
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            found = value.strip().strip('"')
    return found


def _check_origin(request: ClientRequest, origins: Origins) -> None:
    origin = request.headers.get("origin")
    if origin is None and request.scope["type"] == "http":
        # EventSource sends no Origin to its own server, but says so itself.
        if request.headers.get("sec-fetch-site") == "same-origin":
            return
    elif origin is not None and origins.allows(origin, request.headers.get("host")):
        return
    raise OpenlineError(
        Code.FORBIDDEN,
        "a cookie counts only from our own pages; list others in OPENLINE_ALLOWED_ORIGINS",
    )
