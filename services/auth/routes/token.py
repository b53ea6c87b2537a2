"""POST /auth/token: the token endpoint (RFC 6749 section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from services.auth import metrics, oauth
from services.auth.grants import SCOPES, Answer
from services.auth.oauth import OAuthError
from services.auth.parts import Parts
from services.auth.refresh_tokens import RefreshToken
from services.auth.routes import forms, models
from services.auth.routes.bearer import PartsOf
from services.auth.store import Client
from services.kernel.domain.codes import OpenlineError
from services.kernel.http import addresses

_log = structlog.get_logger(__name__)

# An empty parameter counts as omitted (RFC 6749 section 3.2), so an empty one is not an error by itself.
_TEXT = {"type": "string"}
_WORD = f"({'|'.join(SCOPES)})"
_SCOPE = {"type": "string", "pattern": f"^{_WORD}( {_WORD})*$"}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "maxProperties": forms.MAX_FIELDS,
    "additionalProperties": {"type": "string"},
    "required": ["grant_type"],
    "properties": {
        "grant_type": {
            "type": "string",
            "enum": ["client_credentials", "refresh_token", "password"],
        },
        "scope": {**_SCOPE, "description": "space-separated; without it all that is held"},
        "refresh_token": _TEXT,
        "username": _TEXT,
        "password": _TEXT,
        "client_id": _TEXT,
        "client_secret": _TEXT,
    },
}

router = APIRouter(tags=["oauth"])


@router.post(
    "/auth/token",
    response_model=models.Token,
    responses=forms.responses(400, 401, 413, 429, 503),
    openapi_extra=forms.described(_SCHEMA),
)
async def token(request: Request, of: PartsOf) -> Response:
    """A token by `client_credentials`, `refresh_token` or, where it is on, `password`."""
    with oauth.spoken():
        form = await forms.read(request)
        kind = forms.required(form, "grant_type")
        if kind not in of.grant_types:
            raise OAuthError(
                oauth.UNSUPPORTED_GRANT_TYPE, f"grants here: {', '.join(of.grant_types)}"
            )
        network = addresses.network(addresses.client(request.scope))
        if kind == "password":
            of.logins.attempt(network, of.clock())
        client = await _client(request, of, form)
        answer = await _grant(of, kind, form, client=client, network=network)
    metrics.TOKENS.labels(kind).inc()
    _log.info("token_issued", grant=kind, jti=answer.issued.jti, scope=answer.issued.scope)
    return _answer(answer)


async def _client(request: Request, of: Parts, form: Mapping[str, str]) -> Client | None:
    found = forms.client(request, form)
    return await of.grants.authenticate(*found) if found else None


async def _grant(
    of: Parts, kind: str, form: Mapping[str, str], *, client: Client | None, network: str
) -> Answer:
    scope = form.get("scope")
    if kind == "refresh_token":
        secret = forms.required(form, "refresh_token")
        # Before it is looked up, so that a refusal spends nothing.
        of.refreshes.attempt(RefreshToken.parse(secret).login, of.clock())
        return await of.grants.refresh(secret, client=client, scope=scope)
    if kind == "password":
        username = forms.required(form, "username")
        password = forms.required(form, "password")
        try:
            of.guesses.attempt(username, network, of.clock())
        except OpenlineError:
            metrics.LOGINS.labels("refused").inc()
            raise
        answer = await of.grants.password(username, password, client=client, scope=scope)
        of.guesses.right(username, network, of.clock())
        return answer
    if client is None:
        raise OAuthError(
            oauth.INVALID_CLIENT, "client_credentials needs the client's id and secret"
        )
    return await of.grants.client_credentials(client, scope)


def _answer(answer: Answer) -> Response:
    content = {
        "access_token": answer.issued.token,
        "token_type": "Bearer",
        "expires_in": answer.issued.expires_in,
        "scope": answer.issued.scope,
    }
    if answer.refresh is not None:
        content["refresh_token"] = answer.refresh
    return JSONResponse(content, headers=forms.NO_STORE)
