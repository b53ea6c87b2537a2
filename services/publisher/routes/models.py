"""Queries, bodies and answers of the calls that are not for publishing."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from services.kernel.broker import paging
from services.kernel.domain import channels, positions
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.wording import cut
from services.kernel.http.bodies import Whole

MAX_LIMIT = 500
LIMIT = 100

Level = Literal["info", "warning", "error", "success"]
LEVELS = get_args(Level)

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_KEY = re.compile(r"[^\x00-\x1f\x7f]{1,128}\Z")
_LIMIT = re.compile(r"([0-9]{1,9})(\.0+)?\Z")


def bad(message: str) -> OpenlineError:
    """`bad_request`. Raised in a validator it goes past pydantic and FastAPI, and is the answer as it stands."""
    return OpenlineError(Code.BAD_REQUEST, cut(message, 500))


def _flag(name: str) -> BeforeValidator:
    def check(text: str) -> bool:
        if text not in _BOOLEANS:
            raise bad(f"{name} is true or false")
        return _BOOLEANS[text]

    return BeforeValidator(check)


def _matching(name: str, pattern: re.Pattern[str], *, expected: str) -> BeforeValidator:
    def check(text: str) -> str:
        if not pattern.match(text):
            raise bad(f"{name} is {expected}")
        return text

    return BeforeValidator(check)


def _limit(text: str) -> int:
    match = _LIMIT.match(text)
    if match is None or not 1 <= int(match[1]) <= MAX_LIMIT:
        raise bad(f"limit is a whole number from 1 to {MAX_LIMIT}")
    return int(match[1])


def _text(pattern: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, **more})


_FLAG = WithJsonSchema({"type": "string", "enum": list(_BOOLEANS)})
_CURSOR = Annotated[str | None, _text(paging.PATTERN, maxLength=1024)]


class PublishQuery(BaseModel):
    """What the query of a publish may say; a JSON body has fields for it."""

    key: Annotated[
        str | None,
        _matching("key", _KEY, expected="1-128 characters without control characters"),
        _text(r"^[^\x00-\x1f\x7f]{1,128}$"),
    ] = Field(
        None,
        description="Idempotency key, mostly for raw bodies: the field of a JSON body counts before it, and it before the "
        "header Idempotency-Key.",
    )
    conflate_key: Annotated[
        str | None,
        _matching("conflate_key", _KEY, expected="1-128 characters without control characters"),
        _text(r"^[^\x00-\x1f\x7f]{1,128}$"),
    ] = Field(
        None,
        description="What the message is the newest of; mostly for raw bodies: a JSON body has a field for it.",
    )
    ephemeral: Annotated[bool, _flag("ephemeral"), _FLAG] = Field(
        False,
        description="Only for current subscribers; mostly for raw bodies: a JSON body has a field for it.",
    )


class HistoryQuery(BaseModel):
    """Which page of a history."""

    since: Annotated[
        str | None,
        _text("^[A-Za-z0-9]{1,32}:(0|[1-9][0-9]{0,17})$"),
    ] = Field(
        None,
        description="`epoch:offset`, exclusive: messages after it, or before it when reversed.",
    )
    limit: Annotated[
        int,
        BeforeValidator(_limit),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT}),
    ] = LIMIT
    reverse: Annotated[bool, _flag("reverse"), _FLAG] = Field(False, description="Newest first.")


class PageQuery(BaseModel):
    """Which page."""

    cursor: _CURSOR = Field(None, description="From the page before.")


class ChannelsQuery(PageQuery):
    """Which page of which channels."""

    prefix: Annotated[
        str,
        _matching("prefix", channels.PREFIX, expected="up to 233 characters of a channel's name"),
        _text(f"^{channels.PREFIX_GRAMMAR}$"),
    ] = ""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Disconnect(_Body):
    """How connections are closed."""

    code: Whole = Field(4004, ge=4000, le=4099)
    reason: str = Field(
        "",
        max_length=123,
        description="Cut between words to 123 bytes of UTF-8, as much as a close takes.",
    )


class Subscription(_Body):
    """Which channel a user is subscribed to, or no longer."""

    channel: Annotated[
        str, Field(json_schema_extra={"pattern": f"^{channels.CHANNEL_GRAMMAR}$"})
    ] = Field(examples=["room:lobby"])


class NotifyQuery(BaseModel):
    """The fields of a notification that have a meaning."""

    title: Annotated[str | None, WithJsonSchema({"type": "string"})] = None
    message: Annotated[str | None, WithJsonSchema({"type": "string"})] = None
    level: Annotated[Level | None, WithJsonSchema({"type": "string", "enum": list(LEVELS)})] = None


class Notification(NotifyQuery):
    """A notification; any other field is published as well. `type` and `timestamp` are added where missing."""


Epoch = Annotated[str, Field(pattern="^[A-Za-z0-9]{1,32}$")]
Offset = Annotated[int, Field(ge=0, le=positions.MAX_OFFSET)]
Count = Annotated[int, Field(ge=0)]


class HistoryMessage(BaseModel):
    """A stored message. `from` is absent when it came over HTTP, null when from an anonymous user; `ts` in ms."""

    data: Any = Field(description="Any JSON value.")
    offset: Offset
    ts: int
    sender: str | None = Field(None, alias="from")
    key: str | None = None
    conflate_key: str | None = None
    tags: dict[str, str] | None = None
    encoding: str | None = Field(None, description="`base64` when the data was binary.")


class History(BaseModel):
    """A page of a channel's history; `epoch` and `offset` are its newest position."""

    messages: list[HistoryMessage]
    epoch: Epoch
    offset: Offset
    more: bool = Field(description="There are further messages beyond this page.")


class Dropped(BaseModel):
    """The position from which an emptied channel goes on."""

    channel: str
    epoch: Epoch
    offset: Offset


class Member(BaseModel):
    """A connection that is present. `info` comes from its token; `since` is in milliseconds since 1970."""

    user: str | None
    connection: str
    info: Any = Field(description="Any JSON value.")
    since: int


class Presence(BaseModel):
    """Who is present: a page of members, and how many connections and users there are in all."""

    members: list[Member]
    count: Count
    users: Count
    cursor: str | None


class Audience(BaseModel):
    """A channel and its subscribers over the fleet."""

    channel: str
    subscribers: Count


class Channels(BaseModel):
    """A page of channels that have subscribers, by name; `cursor` leads to the next page."""

    channels: list[Audience]
    cursor: str | None


class Node(BaseModel):
    """A living gateway. `accepted`: connections since it began. `lag` and `uptime` are in seconds."""

    node: str
    connections: Count
    accepted: Count
    subscriptions: Count
    lag: float | None
    version: str
    draining: bool
    uptime: float


class Nodes(BaseModel):
    """The gateways that told within the last seconds that they live."""

    nodes: list[Node]


class Drained(BaseModel):
    """A gateway that is told to drain, or to take clients again, and how many connections it had."""

    node: str
    connections: Count


class Sent(BaseModel):
    """How many connections are subscribed to the topic, and the notification's offset."""

    sent: Count
    offset: Offset


class Accepted(BaseModel):
    """Every gateway is told; there is nothing more to say."""
