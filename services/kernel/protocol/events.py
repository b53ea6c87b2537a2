"""What the server says, as types: the reference is generated from them, and tests hold what was sent against them.

Events are not built from these: what goes to many readers is spliced from bytes. An unknown field is an error here, so
that no codec says more than the reference does.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.kernel.protocol.commands import Id

Channel: TypeAlias = Annotated[str, Meta(description="the channel, `namespace:name`")]
Epoch: TypeAlias = Annotated[str, Meta(description="the history that `offset` counts in")]
Offset: TypeAlias = Annotated[int, Meta(ge=0, description="publications of the channel so far")]
User: TypeAlias = Annotated[str | None, Meta(description="who; null when anonymous")]
Began: TypeAlias = Annotated[int, Meta(ge=0, description="the offset at which the epoch began")]
Count: TypeAlias = Annotated[int, Meta(ge=0, description="connections in the channel")]
Users: TypeAlias = Annotated[int, Meta(ge=0, description="users in the channel")]
Expires: TypeAlias = Annotated[
    float | None, Meta(description="the token's `exp`, seconds since 1970; null without end")
]
Within: TypeAlias = Annotated[float, Meta(ge=0, description="seconds to spread what follows over")]
Reason: TypeAlias = Annotated[str, Meta(description="why, for people")]
Recovered: TypeAlias = Annotated[
    bool, Meta(description="whether everything missed follows; only after `since`")
]
Encoding: TypeAlias = Annotated[
    str, Meta(pattern="^base64$", description="`base64` when `data` is bytes; JSON only")
]
Data: TypeAlias = Annotated[Any, Meta(description="what was published")]
Ts: TypeAlias = Annotated[int, Meta(description="when, in milliseconds since 1970")]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Event(_Part, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    pass


class Start(_Part, frozen=True, kw_only=True):
    """Where a subscription made by the server begins."""

    epoch: Epoch
    offset: Offset
    recovered: Recovered | UnsetType = UNSET
    began: Began | UnsetType = UNSET


class Member(_Part, frozen=True, kw_only=True):
    """One connection in a channel."""

    user: User
    connection: Annotated[str, Meta(description="its id")]
    info: Annotated[Any, Meta(description="the token's claim `info`")] = None
    since: Annotated[int, Meta(description="when it came, in milliseconds since 1970")]


class Stored(_Part, frozen=True, kw_only=True):
    """A publication in a history."""

    data: Data
    encoding: Encoding | UnsetType = UNSET
    offset: Offset
    sender: (
        Annotated[
            str | None, Meta(description="who published; absent for HTTP, null when anonymous")
        ]
        | UnsetType
    ) = msgspec.field(default=UNSET, name="from")
    ts: Ts
    key: Annotated[str, Meta(description="the publish's `key`")] | UnsetType = UNSET
    conflate_key: Annotated[str, Meta(description="the publish's `conflate_key`")] | UnsetType = (
        UNSET
    )
    tags: Annotated[dict[str, str], Meta(description="the publish's `tags`")] | UnsetType = UNSET


class Allowance(_Part, frozen=True, kw_only=True):
    """What a client may send before it is refused."""

    commands: Annotated[
        float | None, Meta(description="a second, in the long run; null without bound")
    ]
    burst: Annotated[int | None, Meta(description="commands at once; null without bound")]
    channels: Annotated[int, Meta(description="subscribed to at the same time")]
    message_bytes: Annotated[
        int, Meta(description="bytes of a message's data, where a namespace allows most")
    ]


class Connected(_Event, frozen=True, kw_only=True):
    """The session is open. The first message."""

    connection: Annotated[str, Meta(description="this connection's id")]
    user: User
    node: Annotated[str, Meta(description="the gateway")]
    expires: Expires
    ping: Annotated[float, Meta(description="seconds of silence after which the server pings")]
    limits: Annotated[Allowance, Meta(description="what the client may send")]
    version: Annotated[str, Meta(description="the server's version")]
    channels: Annotated[dict[str, Start], Meta(description="subscribed by the server")]
    secret: (
        Annotated[
            str,
            Meta(description="of a stream alone: what its [commands](#both-ways-over-http) need"),
        ]
        | UnsetType
    ) = UNSET


class RoomConnected(_Event, frozen=True, kw_only=True, tag="connected"):
    """The first message of a plain room."""

    connection: Annotated[str, Meta(description="this connection's id")]
    user: User
    epoch: Epoch
    offset: Offset
    count: Count | UnsetType = UNSET
    recovered: Recovered | UnsetType = UNSET
    began: Began | UnsetType = UNSET


class Ack(_Event, frozen=True, kw_only=True):
    """A command was carried out. Its fields depend on the command."""

    id: Annotated[Id, Meta(description="the command's")] = None
    user: User | UnsetType = UNSET
    expires: Expires | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET
    epoch: Epoch | UnsetType = UNSET
    offset: Offset | UnsetType = UNSET
    recovered: Recovered | UnsetType = UNSET
    began: Began | UnsetType = UNSET
    duplicate: (
        Annotated[bool, Meta(description="published before with the same key")] | UnsetType
    ) = UNSET
    members: (
        Annotated[list[Member], Meta(description="the members present, a page")] | UnsetType
    ) = UNSET
    count: Count | UnsetType = UNSET
    users: Users | UnsetType = UNSET
    cursor: (
        Annotated[str | None, Meta(description="asks for the next page; null at the end")]
        | UnsetType
    ) = UNSET
    messages: Annotated[list[Stored], Meta(description="of the history")] | UnsetType = UNSET
    more: Annotated[bool, Meta(description="whether the history has more")] | UnsetType = UNSET


class Error(_Event, frozen=True, kw_only=True):
    """A command was refused; it changed nothing."""

    id: Annotated[Id, Meta(description="the command's, where it could be read")] = None
    code: Annotated[str, Meta(description="for programs")]
    message: Annotated[str, Meta(description="what was wrong and what would be right")]
    temporary: Annotated[bool, Meta(description="whether the same may succeed later")]
    retry_after: Annotated[float, Meta(ge=0, description="seconds")] | UnsetType = UNSET


class Problem(Error, frozen=True, kw_only=True):  # noqa: N818 - a name on the wire
    """Of `/sse` alone: why a stream is refused, lacks a channel or ends."""


class Message(Stored, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """A publication."""

    channel: Channel
    offset: Offset | UnsetType = UNSET  # type: ignore[assignment]
    skipped: (
        Annotated[int, Meta(ge=1, description="publications left out just before this one")]
        | UnsetType
    ) = UNSET


class Direct(_Event, frozen=True, kw_only=True):
    """Sent to this one connection by the back end; best effort."""

    data: Data
    encoding: Encoding | UnsetType = UNSET
    ts: Ts


class _Presence(_Event, frozen=True, kw_only=True):
    channel: Channel
    user: User
    connection: Annotated[str, Meta(description="the member's connection")]
    count: Count
    users: Users


class Join(_Presence, frozen=True, kw_only=True):
    """A connection came into the channel."""

    first: Annotated[bool, Meta(description="whether the user was not there before")]
    info: (
        Annotated[Any, Meta(description="the token's claim `info`, where it has up to 1 KiB")]
        | UnsetType
    ) = UNSET


class Leave(_Presence, frozen=True, kw_only=True):
    """A connection left the channel: at once after an unsubscribe or a clean close, five seconds after it was cut off or
    closed with 1001, if it did not come back meanwhile.
    """

    last: Annotated[bool, Meta(description="whether the user has no other connection there")]


class CountOnly(_Event, frozen=True, kw_only=True, tag="count"):
    """In place of `join` and `leave` in large rooms."""

    channel: Channel
    count: Count
    users: Users


class Typing(_Event, frozen=True, kw_only=True):
    """Somebody is typing."""

    channel: Channel
    user: User


class Reset(_Event, frozen=True, kw_only=True):
    """Continuity of a channel is lost: fetch its state again. What follows comes after `offset`, which may be below the newest."""

    channel: Channel
    epoch: Epoch
    offset: Offset
    began: Began
    reason: Reason
    within: Within


class Subscribed(_Event, frozen=True, kw_only=True):
    """The server subscribed this connection; lasts as long as it."""

    channel: Channel
    epoch: Epoch
    offset: Offset
    recovered: Recovered | UnsetType = UNSET
    began: Began | UnsetType = UNSET
    count: Count | UnsetType = UNSET


class Unsubscribed(_Event, frozen=True, kw_only=True):
    """The server ended a subscription."""

    channel: Channel
    reason: Reason


class Expiring(_Event, frozen=True, kw_only=True):
    """Send `auth` with a new token; close 4200 follows."""

    expires: Expires


class Reconnect(_Event, frozen=True, kw_only=True):
    """The node, or the front door before it, is leaving: reconnect at a moment of your choice within that time."""

    within: Within


class Ping(_Event, frozen=True, kw_only=True):
    """Nothing came for long: answer with anything, such as `pong`."""


class Pong(_Event, frozen=True, kw_only=True):
    """The answer to a `ping`."""

    id: Annotated[Id, Meta(description="the ping's")] = None


class Closing(_Event, frozen=True, kw_only=True):
    """The last event of a stream that the server ends."""

    code: Annotated[int, Meta(description="the [close code](#close-codes)")]
    reason: Reason


Event: TypeAlias = (
    Connected
    | Ack
    | Error
    | Message
    | Direct
    | Join
    | Leave
    | CountOnly
    | Typing
    | Reset
    | Subscribed
    | Unsubscribed
    | Expiring
    | Reconnect
    | Ping
    | Pong
)
"""Every event of the native protocol."""

Room: TypeAlias = RoomConnected | Message | Join | Leave | CountOnly | Typing | Reset | Error | Pong
"""Every event of a plain room, which leaves out `channel`."""
