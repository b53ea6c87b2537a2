"""POST /auth/connect-tokens and POST /auth/tickets: what a connection to a gateway is opened with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response

from services.auth import metrics
from services.auth.routes import bearer, models
from services.auth.routes.bearer import Admin, Bearer, PartsOf
from services.auth.settings import MAX_BODY
from services.kernel.domain.capabilities import Action, Capabilities
from services.kernel.domain.channels import personal
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.permissions import OWN
from services.kernel.http import bodies, problems

_log = structlog.get_logger(__name__)

router = APIRouter(tags=["connections"])


@router.post(
    "/auth/connect-tokens",
    status_code=201,
    dependencies=[Admin],
    responses=problems.responses(
        Code.BAD_REQUEST,
        Code.UNAUTHORIZED,
        Code.FORBIDDEN,
        Code.TOO_LARGE,
        415,
        Code.LIMIT_EXCEEDED,
        Code.RATE_LIMITED,
        Code.UNAVAILABLE,
    ),
    openapi_extra=bodies.described(models.ConnectToken),
)
async def connect_token(
    request: Request,
    response: Response,
    of: PartsOf,
    caller: Annotated[Bearer, Depends(bearer.minter)],
) -> models.Minted:
    """A token for a user of the calling back end. It never carries a scope, nor channels that its client has not."""
    body = await bodies.json(request, models.ConnectToken, limit=MAX_BODY)
    held = caller.claims.channels
    _check_within(body.channels, held)
    issued = of.issuer.issue(
        body.sub,
        ttl=body.ttl,
        now=of.clock(),
        client=caller.claims.client,
        channels=body.model_dump(mode="json")["channels"],
        info=body.info,
        # The personal channel is the user's, but a limited client would only have to connect with what it mints.
        personal=held is None or all(held.allows(personal(body.sub), action) for action in OWN),
    )
    metrics.TOKENS.labels("connect").inc()
    _log.info("connect_token_issued", user=body.sub, client=caller.claims.client, jti=issued.jti)
    response.headers.update({"cache-control": "no-store"})
    return models.Minted(token=issued.token, expires_in=issued.expires_in)


def _check_within(asked: Mapping[str, Sequence[str]] | None, held: Capabilities | None) -> None:
    """Raises `forbidden` for what the client itself has not: it would only have to connect with what it mints."""
    if held is None:
        return
    if asked is None:
        raise OpenlineError(
            Code.FORBIDDEN, "the client is limited to channels: name those of the user, within them"
        )
    for pattern, actions in asked.items():
        for action in actions:
            if not held.covers(pattern, Action(action)):
                raise OpenlineError(
                    Code.FORBIDDEN,
                    f"the client's own claim channels does not allow {action} on {pattern}",
                )


@router.post(
    "/auth/tickets",
    responses=problems.responses(Code.UNAUTHORIZED, Code.RATE_LIMITED, Code.UNAVAILABLE),
)
async def ticket(
    response: Response, of: PartsOf, caller: Annotated[Bearer, Depends(bearer.anyone)]
) -> models.Ticket:
    """A ticket that stands for the calling token, once and for a short time: for `?ticket=` in a URL."""
    left = max(1.0, min(of.limits.ticket_seconds, (caller.claims.exp or 0) - of.clock()))
    made = await of.tickets.issue(caller.token, ttl=left)
    metrics.TICKETS.inc()
    response.headers.update({"cache-control": "no-store"})
    return models.Ticket(ticket=made, expires_in=int(left))
