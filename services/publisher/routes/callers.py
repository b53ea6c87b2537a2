"""What the routes ask of a request before they run: its caller's token, and the channel, user or connection of its path."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Path, Request
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, WithJsonSchema

from services.kernel.domain import channels
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.permissions import check_http, check_unlimited
from services.publisher.routes.guard import MANAGE, PUBLISH, READ, Guard
from services.publisher.routes.publishing import Publishing
from services.publisher.routes.reading import checked_subject
from services.publisher.service import Publisher

# Only for the document: the guard reads and verifies the token, with refusals that say more.
_documented = HTTPBearer(scheme_name="bearer", bearerFormat="JWT", auto_error=False)

Documented = Depends(_documented)
"""For routes whose call asks the guard itself."""


class Parts(NamedTuple):
    """What the routes work with."""

    publisher: Publisher
    guard: Guard
    publishing: Publishing


async def _parts(request: Request) -> Parts:
    found = request.app.state.parts
    assert isinstance(found, Parts)
    return found


PartsOf = Annotated[Parts, Depends(_parts)]


def _holder(scope: str) -> Any:
    async def check(request: Request, of: PartsOf, _: Annotated[Any, Documented]) -> Claims:
        return await of.guard.caller(request, scope)

    return Depends(check)


_HOLDERS = {scope: _holder(scope) for scope in (PUBLISH, READ, MANAGE)}

Sender = Annotated[Claims, _HOLDERS[PUBLISH]]
Reader = Annotated[Claims, _HOLDERS[READ]]
Manager = Annotated[Claims, _HOLDERS[MANAGE]]


def unlimited(scope: str, what: str) -> Any:
    """A caller whose token is not limited to channels, since `what` is in none of them. Raises what the guard does."""

    async def check(claims: Claims = _HOLDERS[scope]) -> Claims:
        check_unlimited(claims, what)
        return claims

    return Depends(check)


def _in_path(grammar: str, description: str, **more: Any) -> tuple[Any, WithJsonSchema]:
    schema = {"type": "string", "pattern": f"^{grammar}$", **more}
    return Path(description=description), WithJsonSchema(schema)


def _subject(name: str) -> AfterValidator:
    return AfterValidator(partial(checked_subject, name=name))


Channel = Annotated[
    str,
    *_in_path(channels.CHANNEL_GRAMMAR, "namespace:name", examples=["room:lobby", "live:prices"]),
]
Topic = Annotated[str, *_in_path(channels.NAME_GRAMMAR, "of notify:", examples=["orders"])]
_USER = _in_path(channels.SUBJECT_GRAMMAR, "The `sub` of a user's tokens.", examples=["carol"])
AnyUser = Annotated[str, *_USER]
"""Documented as `User`; its call checks it."""
User = Annotated[str, _subject("user"), *_USER]
Connection = Annotated[
    str,
    _subject("connection"),
    *_in_path(channels.SUBJECT_GRAMMAR, "As `connected` and presence name it."),
]

Node = Annotated[str, Path(description="A gateway, as `GET /v1/nodes` names it.")]


def channel_for(action: Action, scope: str) -> Any:
    """The channel of the path. Raises what the guard does, then `bad_request`, `unknown_namespace` or `forbidden`."""

    async def check(of: PartsOf, channel: Channel, claims: Claims = _HOLDERS[scope]) -> str:
        known = of.publisher.check_channel(channel)
        check_http(claims, known, action, scope=scope)
        return known

    return Depends(check)
