"""POST /auth/register: self-registration, for demonstrations."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from services.auth import metrics
from services.auth.credentials import check_password
from services.auth.routes import models
from services.auth.routes.bearer import PartsOf
from services.auth.settings import MAX_BODY
from services.auth.store import User
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.http import addresses, bodies, problems

_log = structlog.get_logger(__name__)

router = APIRouter(tags=["users"])


@router.post(
    "/auth/register",
    status_code=201,
    responses=problems.responses(
        Code.BAD_REQUEST,
        Code.FORBIDDEN,
        Code.CONFLICT,
        Code.TOO_LARGE,
        415,
        Code.RATE_LIMITED,
        Code.UNAVAILABLE,
    ),
    openapi_extra=bodies.described(models.Registration),
)
async def register(request: Request, of: PartsOf) -> models.Registered:
    """Make a user, where `OPENLINE_AUTH_REGISTRATION=open`."""
    if of.settings.auth_registration != "open":
        raise OpenlineError(
            Code.FORBIDDEN, "registration is closed (OPENLINE_AUTH_REGISTRATION=open opens it)"
        )
    of.logins.attempt(addresses.network(addresses.client(request.scope)), of.clock())
    body = await bodies.json(request, models.Registration, limit=MAX_BODY)
    check_password(body.password, body.username)
    user = User(
        username=body.username,
        password=await of.passwords.hash(body.password),
        created=of.clock(),
    )
    if not await run_in_threadpool(of.store.add_user, user):
        raise OpenlineError(Code.CONFLICT, "that username is taken")
    metrics.REGISTRATIONS.inc()
    _log.info("user_registered", user=user.username)
    return models.Registered(user=user.username)
