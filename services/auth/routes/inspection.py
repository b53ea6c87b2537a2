"""POST /auth/revoke (RFC 7009) and POST /auth/introspect (RFC 7662): what clients do with tokens they were shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import structlog
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from services.auth import oauth
from services.auth.grants import Kept
from services.auth.oauth import OAuthError
from services.auth.parts import Parts
from services.auth.refresh_tokens import RefreshToken
from services.auth.routes import bearer, forms, models
from services.auth.routes.bearer import PartsOf
from services.auth.store import Client
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError

_log = structlog.get_logger(__name__)

_TEXT = {"type": "string"}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "maxProperties": forms.MAX_FIELDS,
    "additionalProperties": {"type": "string"},
    "required": ["token"],
    "properties": {
        "token": {**_TEXT, "minLength": 1},
        "token_type_hint": {"type": "string", "description": "not needed: both kinds are tried"},
        "client_id": _TEXT,
        "client_secret": _TEXT,
    },
}

router = APIRouter(tags=["oauth"])


class _Found(NamedTuple):
    """What a token turned out to be: an access token, a refresh token, or nothing of ours."""

    claims: Claims | None = None
    refresh: Kept | None = None

    def belongs_to(self, client: Client) -> bool:
        """Whether it was issued to the client, or the client may manage those of others, wherever they are used."""
        owner = (
            self.refresh.family.client_id if self.refresh else self.claims and self.claims.client
        )
        manages = "manage" in client.scope.split() and client.channels is None
        return owner == client.client_id or manages


@router.post(
    "/auth/revoke",
    responses={
        200: {"description": "the token is no longer valid, or never was", "content": None},
        **forms.responses(400, 401, 413, 503),
    },
    response_class=Response,
    openapi_extra=forms.described(_SCHEMA),
)
async def revoke(request: Request, of: PartsOf) -> Response:
    """End a token: an access token closes its live connections, a refresh token ends its whole family."""
    with oauth.spoken():
        form = await forms.read(request)
        client = await _client(request, of, form)
        token = forms.required(form, "token")
        found = await _find(of, token)
        if not any(found):
            found = _Found(claims=await _foreign(of, token))
        if (found.claims or found.refresh) and not found.belongs_to(client):
            raise OAuthError(
                oauth.UNAUTHORIZED_CLIENT,
                "the token was issued to another; that needs scope manage and a client that is not limited to channels",
            )
        if found.refresh is not None:
            await of.grants.end_family(found.refresh.family.family)
        elif found.claims is not None and found.claims.exp:
            if found.claims.jti is None:
                raise OAuthError(
                    oauth.INVALID_REQUEST,
                    "the token has no claim jti to revoke it by: POST /v1/users/{user}/revoke ends all of its user",
                )
            await of.revoker.revoke_token(found.claims.jti, found.claims.exp)
    _log.info("token_revoked", client=client.client_id, known=any(found))
    return Response(headers=forms.NO_STORE)


@router.post(
    "/auth/introspect",
    response_model=models.Introspection,
    responses=forms.responses(400, 401, 403, 413, 503),
    openapi_extra=forms.described(_SCHEMA),
)
async def introspect(request: Request, of: PartsOf) -> Response:
    """What is known of a token. One that ended, or that the client may not see, is just not active."""
    with oauth.spoken():
        bearer.admin(request, of)
        form = await forms.read(request)
        client = await _client(request, of, form)
        found = await _find(of, forms.required(form, "token"))
        content: dict[str, Any] = {"active": False}
        if found.belongs_to(client):
            content = await _content(of, found)
    return JSONResponse(content, headers=forms.NO_STORE)


async def _client(request: Request, of: Parts, form: dict[str, str]) -> Client:
    given = forms.client(request, form)
    if given is None:
        raise OAuthError(oauth.INVALID_CLIENT, "this call needs the client's id and secret")
    return await of.grants.authenticate(*given)


async def _find(of: Parts, token: str) -> _Found:
    try:
        return _Found(claims=await of.own.verify(token, of.clock()))
    except OpenlineError as error:
        if error.code is not Code.UNAUTHORIZED:
            raise
    return _Found(refresh=await of.grants.find(RefreshToken.parse(token)))


async def _foreign(of: Parts, token: str) -> Claims | None:
    """What another trusted issuer's token says; that it belongs to a client of ours, only ours may say."""
    try:
        claims = await of.trusted.verify(token, of.clock())
    except OpenlineError as error:
        if error.code is not Code.UNAUTHORIZED:
            raise
        return None
    return replace(claims, client=None)


async def _content(of: Parts, found: _Found) -> dict[str, Any]:
    if found.refresh is not None:
        return _refresh(found.refresh, of.clock())
    claims = found.claims
    if claims is None or await of.revoker.covers(claims):
        return {"active": False}
    content = {
        "active": True,
        "token_type": "Bearer",
        "iss": of.issuer.issuer,
        "aud": of.issuer.audience,
        "sub": claims.sub,
        "username": None if claims.sub.startswith("client:") else claims.sub,
        "client_id": claims.client,
        "scope": " ".join(sorted(claims.scope)),
        "iat": int(claims.iat or 0),
        "exp": int(claims.exp or 0),
        "jti": claims.jti,
    }
    return {name: value for name, value in content.items() if value is not None}


def _refresh(found: Kept, now: float) -> dict[str, Any]:
    kept = found.family
    if not found.is_newest or kept.revoked is not None or kept.expires <= now:
        return {"active": False}
    content = {
        "active": True,
        "token_type": "refresh_token",
        "sub": kept.username,
        "username": kept.username,
        "client_id": kept.client_id,
        "scope": kept.scope,
        "exp": int(kept.expires),
    }
    return {name: value for name, value in content.items() if value is not None}
