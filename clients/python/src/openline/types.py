"""The values that clients and publishers take and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ConnectionState: TypeAlias = Literal[
    "idle", "connecting", "online", "moving", "waiting", "failed", "closed"
]
ChannelState: TypeAlias = Literal["idle", "joining", "live", "rejoining", "failed"]
Reason: TypeAlias = Literal["first", "renew", "expired"]


class Position(NamedTuple):
    """`offset` publications of the channel's history named `epoch` have been seen; the next is `offset + 1`."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        """As in a query: `epoch:offset`."""
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """A position from `epoch:offset`. Raises ValueError."""
        epoch, colon, offset = text.partition(":")
        if not (colon and epoch.isalnum() and offset.isascii() and offset.isdigit()):
            raise ValueError(f"{text!r} is no position; one is epoch:offset, such as cccd052b:41")
        return cls(epoch, int(offset))


@dataclass(frozen=True, slots=True)
class Published:
    """Where a publication stands. One that is ephemeral has no `epoch` and no `offset`.

    `duplicate`: one with this key was stored before, and this is where. `subscribers`: connections that listened, in
    answers over HTTP.
    """

    epoch: str | None
    offset: int | None
    duplicate: bool = False
    channel: str = ""
    subscribers: int | None = None

    @property
    def position(self) -> Position | None:
        """The same as a position; None when it is ephemeral."""
        if self.epoch is None or self.offset is None:
            return None
        return Position(self.epoch, self.offset)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to publish. `key`: what makes a repeated publish one. `expect`: where the channel must stand.

    `conflate_key`: what it is the newest of; a reader that falls behind may get the newest message of each.
    """

    channel: str
    data: Any
    key: str | None = None
    tags: Mapping[str, str] | None = None
    ephemeral: bool = False
    expect: Position | None = None
    conflate_key: str | None = None


@dataclass(slots=True)
class Message(Generic[T]):
    """A publication of a channel.

    `offset` is None when it is ephemeral. `sender` is the user who published, None when that was anonymous or a back
    end over HTTP. `ts` is in milliseconds since 1970. `skipped` publications just before it were left out, as the
    namespace orders for readers who are too slow. `recovered`: it had been missed and was sent again. `conflate_key`: what
    it is the newest of.
    """

    channel: str
    data: T
    offset: int | None = None
    sender: str | None = None
    ts: int = 0
    key: str | None = None
    tags: Mapping[str, str] | None = None
    skipped: int = 0
    recovered: bool = False
    conflate_key: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Messages of the channel may be missing: fetch its state again, after `wait` seconds.

    `reason` is the server's text, or `gap`. `position` is where the channel goes on; `began` is the offset at which
    its epoch began: above it, what was received in the old epoch is void.
    """

    channel: str
    reason: str
    position: Position
    began: int | None = None
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Recovered:
    """After an interruption everything that was missed has been sent: `count` messages, perhaps none."""

    channel: str
    count: int


@dataclass(frozen=True, slots=True)
class Join:
    """A connection came into the channel. `first`: it is its user's first one there. `info` is its token's claim."""

    channel: str
    user: str | None
    connection: str
    count: int
    users: int
    info: Any = None
    first: bool | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """A connection left the channel. `last`: it was its user's last one there."""

    channel: str
    user: str | None
    connection: str
    count: int
    users: int
    last: bool | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many are in a channel that is too large for `Join` and `Leave`."""

    channel: str
    count: int
    users: int


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody is typing."""

    channel: str
    user: str | None


@dataclass(frozen=True, slots=True)
class Invalid:
    """A message that does not fit the channel's type: it was left out of the messages, its position has passed."""

    channel: str
    data: Any
    error: Exception
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The subscription's state has changed."""

    channel: str
    state: ChannelState


Event: TypeAlias = Message[T] | Lost | Recovered | Join | Leave | Count | Typing | Invalid | State


@dataclass(frozen=True, slots=True)
class Direct:
    """Sent by the back end to this one connection; best effort."""

    data: Any
    ts: int


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection that stands. `expires`: the token's `exp`, in seconds since 1970; `version` is the server's."""

    connection: str
    user: str | None
    node: str
    expires: float | None
    ping: float
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One connection in a channel. `since`: when it came, in milliseconds since 1970."""

    user: str | None
    connection: str
    info: Any
    since: int


@dataclass(frozen=True, slots=True)
class PresencePage:
    """Who is in a channel: at most 1,000 members, and how many there are. `cursor` asks for the next page."""

    members: list[Member]
    count: int
    users: int
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class History(Generic[T]):
    """Stored messages, the newest of the channel at `offset` of `epoch`. `more`: there are more than these."""

    messages: list[Message[T]]
    epoch: str
    offset: int
    more: bool

    @property
    def position(self) -> Position:
        """Where the channel stands."""
        return Position(self.epoch, self.offset)


@dataclass(frozen=True, slots=True)
class Audience:
    """A channel that has subscribers, and how many over all gateways."""

    channel: str
    subscribers: int


@dataclass(frozen=True, slots=True)
class ChannelPage:
    """Channels that have subscribers, by name. `cursor` asks for the next page."""

    channels: list[Audience]
    cursor: str | None = None
