"""Reading channels: history, presence, subscriptions; and dropping a history."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from services.kernel.domain import positions
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.permissions import owns
from services.kernel.protocol import json_codec
from services.publisher.routes import answers, describe, models, reading
from services.publisher.routes.callers import PartsOf, Reader, channel_for
from services.publisher.routes.guard import MANAGE, READ

_REFUSALS = describe.refusals(400, 401, 403, 404, 429, 503)

Readable = Annotated[str, channel_for(Action.HISTORY, READ)]
Watchable = Annotated[str, channel_for(Action.PRESENCE, READ)]
Managed = Annotated[str, channel_for(Action.PUBLISH, MANAGE)]

router = APIRouter(generate_unique_id_function=describe.operation_id)


@router.get(
    "/v1/channels/{channel:path}/messages",
    summary="Read a channel's history",
    response_model=models.History,
    responses={**_REFUSALS, **describe.refusals(409)},
)
async def history(
    request: Request,
    of: PartsOf,
    channel: Readable,
    query: Annotated[models.HistoryQuery, Query()],
) -> Response:
    """Messages that the channel still has, oldest first unless reversed."""
    reading.query(request.scope, models.HistoryQuery)
    since = None if query.since is None else positions.parse(query.since)
    page = await of.publisher.history(
        channel, since=since, limit=query.limit, reverse=query.reverse
    )
    return answers.answer(
        {
            "messages": msgspec.Raw(json_codec.messages(page.publications)),
            "epoch": page.epoch,
            "offset": page.offset,
            "more": page.more,
        }
    )


@router.delete(
    "/v1/channels/{channel:path}/messages",
    summary="Drop a channel's history",
    responses=_REFUSALS,
)
async def drop(of: PartsOf, channel: Managed) -> models.Dropped:
    """Drop what the channel has. Readers get a `reset`; offsets go on, in a new epoch."""
    at = await of.publisher.drop(channel)
    return models.Dropped(channel=channel, epoch=at.epoch, offset=at.offset)


@router.get(
    "/v1/channels/{channel:path}/presence",
    summary="Read who is present in a channel",
    response_model=models.Presence,
    responses=_REFUSALS,
)
async def presence(
    request: Request,
    of: PartsOf,
    channel: Watchable,
    query: Annotated[models.PageQuery, Query()],
) -> Response:
    """The present members. A namespace without presence has none."""
    reading.query(request.scope, models.PageQuery)
    page = await of.publisher.members(channel, cursor=query.cursor)
    members = [
        {
            "user": member.user,
            "connection": member.connection,
            "info": msgspec.Raw(member.info) if member.info else None,
            "since": member.since,
        }
        for member in page.members
    ]
    return answers.answer(
        {"members": members, "count": page.count, "users": page.users, "cursor": page.cursor}
    )


@router.get(
    "/v1/channels",
    operation_id="channels",
    summary="List channels that have subscribers",
    responses=describe.refusals(400, 401, 403, 429, 503),
)
async def list_channels(
    request: Request,
    of: PartsOf,
    claims: Reader,
    query: Annotated[models.ChannelsQuery, Query()],
) -> models.Channels:
    """Channels by name, as far as the token's claim lets see them. A page may be empty and yet have a cursor."""
    reading.query(request.scope, models.ChannelsQuery)
    page = await of.publisher.channels(query.prefix, cursor=query.cursor)
    seen = [
        models.Audience(channel=channel, subscribers=count)
        for channel, count in page.channels
        if _visible(claims, channel)
    ]
    return models.Channels(channels=seen, cursor=page.cursor)


def _visible(claims: Claims, channel: str) -> bool:
    granted = claims.channels
    if granted is None or owns(claims, channel):
        return True
    return any(granted.allows(channel, action) for action in Action)
