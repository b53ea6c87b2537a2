"""What a client may ask, as checked values: one class a command, named after its `type`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind

Id: TypeAlias = int | Annotated[str, msgspec.Meta(max_length=64)] | None
"""What a client calls a command, so that it knows the answer again: an integer within 64 bits or a string."""

MAX_LAST = 1000
MAX_SINCE = 100
HISTORY_LIMIT = 100
MAX_HISTORY_LIMIT = 500
MAX_CURSOR = 1024


Channel: TypeAlias = Annotated[str, msgspec.Meta(description="the channel, `namespace:name`")]
Token: TypeAlias = Annotated[
    str | None, msgspec.Meta(description="a JWT; without one the session is anonymous")
]
Previous: TypeAlias = Annotated[
    Annotated[str, msgspec.Meta(max_length=64)] | None,
    msgspec.Meta(
        description="the id of the connection that this client had before: it ends at once, unseen by others"
    ),
]
Client: TypeAlias = Annotated[
    Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{22,64}$")] | None,
    msgspec.Meta(
        description="22-64 random characters that an anonymous client keeps secret: `previous` and `key` are its own"
    ),
]
Ephemeral: TypeAlias = Annotated[bool, msgspec.Meta(description="no history, no offset")]
Echo: TypeAlias = Annotated[
    bool,
    msgspec.Meta(description="false: not to this connection; the ack takes the message's place"),
]
Reverse: TypeAlias = Annotated[bool, msgspec.Meta(description="newest first")]


class BadCommand(OpenlineError):  # noqa: N818 - the name says what the frame is
    """An invalid command frame; `id` is the command's, where it could be read."""

    def __init__(self, code: Code, message: str, *, id: Id = None) -> None:
        super().__init__(code, message)
        self.id = id


class _Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    id: Id = None


class Auth(_Command, frozen=True, kw_only=True):
    """Begin a session, or renew one with a new token. Without a token: an anonymous session."""

    token: Token = None
    since: dict[str, Position] | None = None
    previous: Previous = None
    client: Client = None


class Subscribe(_Command, frozen=True, kw_only=True):
    """Receive a channel from now on, from a position on, or with its newest `last` messages first."""

    channel: Channel
    since: Position | None = None
    last: int | None = None


class Unsubscribe(_Command, frozen=True, kw_only=True):
    """Receive a channel no more."""

    channel: Channel


class Publish(_Command, frozen=True, kw_only=True):
    """Publish in a channel."""

    # `data` was checked and is in the form that `kind` says.
    channel: Channel
    data: bytes
    kind: Kind = Kind.JSON
    key: str | None = None
    conflate_key: str | None = None
    ephemeral: Ephemeral = False
    echo: Echo = True


class Typing(_Command, frozen=True, kw_only=True):
    """Tell the others in a channel that this user is typing."""

    channel: Channel


class Presence(_Command, frozen=True, kw_only=True):
    """Ask who is in a channel; `cursor` continues an earlier answer."""

    channel: Channel
    cursor: Annotated[
        Annotated[str, msgspec.Meta(max_length=MAX_CURSOR)] | None,
        msgspec.Meta(description="from the answer before, for its next page"),
    ] = None


class History(_Command, frozen=True, kw_only=True):
    """Ask for at most `limit` stored messages: after `since`, or with `reverse` before it, newest first."""

    channel: Channel
    since: Position | None = None
    limit: int = HISTORY_LIMIT
    reverse: Reverse = False


class Ping(_Command, frozen=True, kw_only=True):
    """Ask for a `pong`."""


class Pong(_Command, frozen=True, kw_only=True):
    """Answer a `ping`; needs no answer."""


Command: TypeAlias = (
    Auth | Subscribe | Unsubscribe | Publish | Typing | Presence | History | Ping | Pong
)

TYPES = (
    "auth",
    "subscribe",
    "unsubscribe",
    "publish",
    "typing",
    "presence",
    "history",
    "ping",
    "pong",
)
"""The `type` of each command."""
