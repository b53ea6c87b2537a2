"""Commands as a client writes them: what is decoded first, then checked and made a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from services.kernel.domain import data, positions
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.publications import Kind
from services.kernel.protocol import commands
from services.kernel.protocol.commands import Command, Id

Check: TypeAlias = Callable[[bytes], tuple[Kind, bytes]]
"""Checks a publication's data in one encoding: its kind and the bytes to store, or `invalid_data`."""


class Position(msgspec.Struct, frozen=True):
    """A position: what came after it is wanted."""

    epoch: Annotated[str, Meta(description="1-32 letters and digits")]
    offset: Annotated[int, Meta(description="0 to 2^63-1")]

    def position(self) -> positions.Position:
        """The position, checked."""
        return positions.make(self.epoch, self.offset)


class _Wire(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    id: Id = None


class Auth(_Wire, frozen=True, kw_only=True, tag="auth"):
    """`auth` as it is written."""

    token: commands.Token = None
    since: Annotated[
        Annotated[dict[str, Position], Meta(max_length=commands.MAX_SINCE)] | None,
        Meta(description="positions in channels that the server subscribes, by channel"),
    ] = None
    previous: commands.Previous = None
    client: commands.Client = None

    def command(self, _: Check) -> Command:
        """The command; raises `bad_request` for a position that cannot be."""
        since = None
        if self.since is not None:
            since = {channel: at.position() for channel, at in self.since.items()}
        return commands.Auth(
            id=self.id,
            token=self.token,
            since=since,
            previous=self.previous,
            client=self.client,
        )


class Subscribe(_Wire, frozen=True, kw_only=True, tag="subscribe"):
    """`subscribe` as it is written."""

    channel: commands.Channel
    since: Position | None = None
    last: Annotated[
        Annotated[int, Meta(ge=0, le=commands.MAX_LAST)] | None,
        Meta(description="begin with the N newest; not beside `since`"),
    ] = None

    def command(self, _: Check) -> Command:
        """The command; raises `bad_request` when it wants to begin at two places."""
        if self.since is not None and self.last is not None:
            raise OpenlineError(Code.BAD_REQUEST, "subscribe takes since or last, not both")
        since = None if self.since is None else self.since.position()
        return commands.Subscribe(id=self.id, channel=self.channel, since=since, last=self.last)


class Publish(_Wire, frozen=True, kw_only=True, tag="publish"):
    """`publish` as it is written."""

    channel: commands.Channel
    data: Annotated[msgspec.Raw, Meta(description="any JSON value; null counts")]
    key: Annotated[
        str | None, Meta(description="makes a repeated publish one, within 5 minutes")
    ] = None
    conflate_key: Annotated[
        str | None,
        Meta(
            description="what the message is the newest of: a slow reader may get it in place of those before it"
        ),
    ] = None
    ephemeral: commands.Ephemeral = False
    echo: commands.Echo = True

    def command(self, check: Check) -> Command:
        """The command; raises `bad_request` for its keys and `invalid_data` for its data."""
        key = None if self.key is None else data.check_key(self.key)
        conflate_key = self.conflate_key
        if conflate_key is not None:
            data.check_key(conflate_key, "conflate_key")
        kind, checked = check(bytes(self.data))
        return commands.Publish(
            id=self.id,
            channel=self.channel,
            data=checked,
            kind=kind,
            key=key,
            conflate_key=conflate_key,
            ephemeral=self.ephemeral,
            echo=self.echo,
        )


class History(_Wire, frozen=True, kw_only=True, tag="history"):
    """`history` as it is written."""

    channel: commands.Channel
    since: Position | None = None
    limit: Annotated[
        int,
        Meta(ge=1, le=commands.MAX_HISTORY_LIMIT, description="how many at most"),
    ] = commands.HISTORY_LIMIT
    reverse: commands.Reverse = False

    def command(self, _: Check) -> Command:
        """The command; raises `bad_request` for a position that cannot be."""
        since = None if self.since is None else self.since.position()
        return commands.History(
            id=self.id,
            channel=self.channel,
            since=since,
            limit=self.limit,
            reverse=self.reverse,
        )


Wire: TypeAlias = (
    Auth
    | Subscribe
    | commands.Unsubscribe
    | Publish
    | commands.Typing
    | commands.Presence
    | History
    | commands.Ping
    | commands.Pong
)
"""Every command as it is written; those that need no further check are the command itself."""
