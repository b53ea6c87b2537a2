"""Authentication of a call: its bearer token (RFC 6750), its scope and the network it comes from."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from fastapi import Depends, Request, Security
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import OAuth2

from services.auth.parts import Parts
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.permissions import check_scope
from services.kernel.http import bearer
from services.kernel.tokens import revocations
from services.kernel.tokens.verifier import Verifier

_SCOPES = {
    "publish": "send messages over HTTP",
    "read": "read history, presence and channels over HTTP",
    "manage": "everything else over HTTP",
    "tokens": "mint tokens for one's own users",
}
_flow = OAuthFlowClientCredentials(tokenUrl="/auth/token", scopes=_SCOPES)
# Only for the document: the token is read and verified below, with refusals that say more.
_documented = OAuth2(
    flows=OAuthFlows(clientCredentials=_flow), scheme_name="token", auto_error=False
)


class Bearer(NamedTuple):
    """A verified token and its claims."""

    token: str
    claims: Claims


def parts(request: Request) -> Parts:
    """What `app` has put together."""
    found = request.app.state.parts
    assert isinstance(found, Parts)
    return found


PartsOf = Annotated[Parts, Depends(parts)]


def admin(request: Request, of: PartsOf) -> None:
    """Raises `forbidden` unless the call comes from an administrative network."""
    bearer.check_admin(request.scope, of.settings.admin_networks)


Admin = Depends(admin)


async def anyone(
    request: Request, of: PartsOf, _: Annotated[object, Depends(_documented)]
) -> Bearer:
    """The holder of any token that the gateways would accept. Raises `unauthorized` or `unavailable`."""
    return await _bearer(request, of, of.trusted)


async def minter(
    request: Request, of: PartsOf, _: Annotated[object, Security(_documented, scopes=["tokens"])]
) -> Bearer:
    """A client of ours with scope `tokens`. Raises `unauthorized`, `forbidden` or `unavailable`."""
    found = await _bearer(request, of, of.own)
    check_scope(found.claims, "tokens")
    return found


async def manager(
    request: Request, of: PartsOf, _: Annotated[object, Security(_documented, scopes=["manage"])]
) -> Bearer:
    """A client of ours with scope `manage`. Raises `unauthorized`, `forbidden` or `unavailable`."""
    found = await _bearer(request, of, of.own)
    check_scope(found.claims, "manage")
    return found


async def _bearer(request: Request, of: Parts, verifier: Verifier) -> Bearer:
    now = of.clock()
    try:
        token = bearer.token(request.headers.getlist("authorization"))
        claims = verifier.cached(token, now)
        if claims is None:
            await of.failures.check(request.scope, now)
            claims = await verifier.verify(token, now)
    except OpenlineError as error:
        await of.failures.count(error, request.scope, now)
        raise
    if await of.revoker.covers(claims):
        raise revocations.refusal()
    return Bearer(token, claims)
