"""Reading channels: history, presence, who is subscribed where; and dropping a history."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.kernel.broker.port import Member
from services.kernel.domain import channels, positions
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.permissions import check_http, owns
from services.kernel.protocol import json_codec
from services.publisher.routes import answers, bodies, reading
from services.publisher.routes.describe import CHANNEL, CURSOR, operation, parameter
from services.publisher.routes.guard import MANAGE, READ, Calls

MAX_LIMIT = 500
LIMIT = 100

_PAGED = (
    parameter(
        "since",
        "query",
        {"type": "string", "pattern": "^[A-Za-z0-9]{1,32}:(0|[1-9][0-9]{0,17})$"},
        "`epoch:offset`, exclusive: messages after it, or before it when reversed.",
    ),
    parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT},
    ),
    parameter(
        "reverse",
        "query",
        {"type": "string", "enum": ["true", "false", "1", "0"], "default": "false"},
        "Newest first.",
    ),
)


class ChannelRoutes(Calls):
    """What scope `read` lets see, and `manage` drop."""

    def add_to(self, router: APIRouter) -> None:
        """Register the calls."""
        operation(
            router,
            "GET",
            "/v1/channels/{channel:path}/messages",
            call=self.history,
            summary="Read a channel's history",
            parameters=(CHANNEL, *_PAGED),
            success=(200, "History"),
            refusals=(400, 401, 403, 404, 409, 429, 503),
        )
        operation(
            router,
            "DELETE",
            "/v1/channels/{channel:path}/messages",
            call=self.drop,
            summary="Drop a channel's history",
            parameters=(CHANNEL,),
            success=(200, "Dropped"),
            refusals=(400, 401, 403, 404, 429, 503),
        )
        operation(
            router,
            "GET",
            "/v1/channels/{channel:path}/presence",
            call=self.presence,
            summary="Read who is present in a channel",
            parameters=(CHANNEL, CURSOR),
            success=(200, "Presence"),
            refusals=(400, 401, 403, 404, 429, 503),
        )
        prefix = parameter(
            "prefix", "query", {"type": "string", "pattern": f"^{channels.PREFIX_GRAMMAR}$"}
        )
        operation(
            router,
            "GET",
            "/v1/channels",
            call=self.channels,
            summary="List channels that have subscribers",
            parameters=(prefix, CURSOR),
            success=(200, "Channels"),
            refusals=(400, 401, 403, 429, 503),
        )

    async def history(self, request: Request) -> Response:
        """Messages that the channel still has, oldest first unless reversed."""
        claims = await self._guard.caller(request, READ)
        channel = self._channel(request, claims, Action.HISTORY, READ)
        query = reading.Query(request)
        since = query.text("since")
        page = await self._publisher.history(
            channel,
            since=None if since is None else positions.parse(since),
            limit=query.number("limit", low=1, high=MAX_LIMIT, default=LIMIT),
            reverse=bool(query.flag("reverse")),
        )
        return answers.answer(
            {
                "messages": msgspec.Raw(json_codec.messages(page.publications)),
                "epoch": page.epoch,
                "offset": page.offset,
                "more": page.more,
            }
        )

    async def drop(self, request: Request) -> Response:
        """Drop what the channel has. Readers get a `reset`; offsets go on, in a new epoch."""
        claims = await self._guard.caller(request, MANAGE)
        channel = self._channel(request, claims, Action.PUBLISH, MANAGE)
        at = await self._publisher.drop(channel)
        return answers.answer(bodies.Dropped(channel=channel, epoch=at.epoch, offset=at.offset))

    async def presence(self, request: Request) -> Response:
        """Who is there now. A namespace without presence has no members."""
        claims = await self._guard.caller(request, READ)
        channel = self._channel(request, claims, Action.PRESENCE, READ)
        cursor = reading.Query(request).text("cursor")
        page = await self._publisher.members(channel, cursor=cursor)
        body = bodies.Presence(
            members=[_member(member) for member in page.members],
            count=page.count,
            users=page.users,
            cursor=page.cursor,
        )
        return answers.answer(body)

    async def channels(self, request: Request) -> Response:
        """Channels by name, as far as the token's claim lets see them. A page may be empty and yet have a cursor."""
        claims = await self._guard.caller(request, READ)
        query = reading.Query(request)
        prefix = query.matching(
            "prefix", channels.PREFIX, expected="up to 233 characters of a channel's name"
        )
        page = await self._publisher.channels(prefix or "", cursor=query.text("cursor"))
        seen = [
            bodies.Audience(channel, count)
            for channel, count in page.channels
            if _visible(claims, channel)
        ]
        return answers.answer(bodies.Channels(channels=seen, cursor=page.cursor))

    def _channel(self, request: Request, claims: Claims, action: Action, scope: str) -> str:
        channel = self._publisher.check_channel(request.path_params["channel"])
        check_http(claims, channel, action, scope=scope)
        return channel


def _visible(claims: Claims, channel: str) -> bool:
    granted = claims.channels
    if granted is None or owns(claims, channel):
        return True
    return any(granted.allows(channel, action) for action in Action)


def _member(member: Member) -> bodies.Member:
    return bodies.Member(
        user=member.user,
        connection=member.connection,
        info=msgspec.Raw(member.info) if member.info else None,
        since=member.since,
    )
