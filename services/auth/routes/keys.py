"""The keys and the description of the issuer: GET /auth/jwks.json, POST /auth/keys/rotate, RFC 8414 metadata."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Response
from starlette.concurrency import run_in_threadpool

from services.auth import grants
from services.auth.routes import bearer, models
from services.auth.routes.bearer import Admin, Bearer, PartsOf
from services.kernel.domain.codes import Code
from services.kernel.domain.permissions import check_unlimited
from services.kernel.http import problems

_log = structlog.get_logger(__name__)

router = APIRouter(tags=["keys"])


@router.get("/auth/jwks.json")
async def jwks(response: Response, of: PartsOf) -> models.Jwks:
    """The public keys of tokens: the current one, the next, and those whose tokens may still live."""
    # Short, and safe: the next key is listed long before it signs.
    response.headers["cache-control"] = "public, max-age=60"
    return models.Jwks(**of.keyring.jwks())


@router.post(
    "/auth/keys/rotate",
    dependencies=[Admin],
    responses=problems.responses(
        Code.UNAUTHORIZED, Code.FORBIDDEN, Code.CONFLICT, Code.RATE_LIMITED, Code.UNAVAILABLE
    ),
)
async def rotate(of: PartsOf, caller: Annotated[Bearer, Depends(bearer.manager)]) -> models.Rotated:
    """Sign with the next key from now on. Tokens of the old one stay good until they expire."""
    check_unlimited(caller.claims, "rotating keys")
    kid = await run_in_threadpool(of.keyring.rotate)
    _log.info("key_rotated", kid=kid, by=caller.claims.sub)
    return models.Rotated(kid=kid)


@router.get("/.well-known/oauth-authorization-server")
async def metadata(response: Response, of: PartsOf) -> models.Metadata:
    """RFC 8414."""
    response.headers["cache-control"] = "public, max-age=60"
    return models.Metadata(**grants.metadata(of.issuer.issuer, grants=of.grant_types))
