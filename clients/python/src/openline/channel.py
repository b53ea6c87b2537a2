"""A channel, as whoever reads it and publishes in it has it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

from openline import protocol
from openline.buffer import Buffer
from openline.errors import ContinuityLost, InvalidData, OpenlineError
from openline.feed import Feed, Reader
from openline.protocol import Frame
from openline.types import (
    ChannelState,
    Event,
    History,
    Invalid,
    Lost,
    Message,
    Position,
    PresencePage,
    Published,
)
from openline.validators import Validator, to_plain

T = TypeVar("T")
OnLost: TypeAlias = Callable[[Lost], Awaitable[None] | None]

log = logging.getLogger("openline")


class Host(Protocol):
    """The client, as its channels know it."""

    def join(self, channel: Channel[Any]) -> tuple[Feed, Reader, Buffer]:
        """Read the channel; the first one subscribes."""

    def leave(self, feed: Feed, reader: Reader) -> None:
        """Read it no more; the last one unsubscribes."""

    def keep(self, feed: Feed) -> None:
        """One of the channel's readers has taken something, or left."""

    async def request(self, frame: Frame) -> Frame:
        """The answer of a command that may be repeated."""

    def tell(self, frame: Frame) -> None:
        """Send a command that has no answer, or nothing while there is no connection."""

    async def publish_plain(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None,
        conflate_key: str | None,
        echo: bool,
        ephemeral: bool,
        ordered: bool,
    ) -> Published:
        """Publish what is checked already."""


class Channel(Generic[T]):
    """One channel: `async with` subscribes and leaves, `async for` gives its messages, each once and in order.

    Made by `Client.channel`. Without `async with` it can be published in and asked, but gives no messages. Several may
    read one channel: they share the subscription, and each gets every message. One that begins with neither `last` nor
    `since` begins with what is published once it has been entered. Those who read slower than others get `slow_reader`
    when ten times the client's `buffer` wait for them; `since=channel.position` goes on there.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        validate: Validator[T],
        *,
        last: int,
        since: Position | None,
        ordered: bool,
        strict: bool,
        on_lost: OnLost | None,
    ) -> None:
        self.name = name
        self.last = last
        self.since = since
        self._host = host
        self._validate = validate
        self._ordered = ordered
        self._strict = strict
        self._on_lost = on_lost
        self._feed: Feed | None = None
        self._reader: Reader | None = None
        self._buffer: Buffer | None = None
        self._pending: Position | None = None
        self._position = since
        self._warned = False

    # ----------------------------------------------------------------------------------------- come and leave

    async def __aenter__(self) -> Self:
        """Subscribe; returns when the subscription stands. Raises OpenlineError when it is refused."""
        if self._feed is not None:
            raise RuntimeError(
                f"this channel has been entered; make another: client.channel({self.name!r})"
            )
        self._feed, self._reader, self._buffer = self._host.join(self)
        try:
            await self._buffer.live
        except BaseException:
            self._leave()
            raise
        self._pending = self._buffer.start()
        self._commit()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave. Without an exception the last message counts as taken; with one it comes again."""
        if kind is None:
            self._commit()
        feed = self._leave()
        if kind is None and feed is not None and feed.readers:
            self._host.keep(feed)

    def _leave(self) -> Feed | None:
        feed, reader, buffer = self._feed, self._reader, self._buffer
        self._feed = self._reader = self._buffer = None
        if feed is not None and reader is not None and buffer is not None:
            self._host.leave(feed, reader)
            buffer.discard()
        return feed

    # ------------------------------------------------------------------------------------------------- its state

    @property
    def state(self) -> ChannelState:
        """`idle`, `joining`, `live`, `rejoining` or `failed`."""
        return "idle" if self._feed is None else self._feed.state

    @property
    def error(self) -> OpenlineError | None:
        """Why it failed."""
        return None if self._feed is None else self._feed.error

    @property
    def position(self) -> Position | None:
        """What has been taken: a message counts when the next one is asked for."""
        return self._position

    # --------------------------------------------------------------------------------------------------- read it

    def __aiter__(self) -> AsyncIterator[Message[T]]:
        """Its messages. One that does not fit the type is left out, with a warning in the log.

        When messages were lost: ContinuityLost of a strict client, else `on_lost`, else a warning in the log.
        Raises OpenlineError when the channel or the client has failed; ends when the client is left.
        """
        return _Iterator(self._next_message)

    def events(self) -> AsyncIterator[Event[T]]:
        """Its messages and all else, in the order of the wire: `Lost`, `Recovered`, `Join`, `Leave`, `Typing`, ..."""
        return _Iterator(self._next_event)

    async def _next_message(self) -> Message[T]:
        while True:
            event = await self._next()
            if isinstance(event, Message):
                return event
            if isinstance(event, Lost):
                await self._tell_lost(event)
            elif isinstance(event, Invalid):
                log.warning("a message of %s was left out: %s", self.name, event.error)

    async def _next_event(self) -> Event[T]:
        event = await self._next()
        if self._strict and isinstance(event, Lost):
            raise _continuity_lost(event)
        return event

    async def _next(self) -> Event[T]:
        if self._pending is not None:
            self._commit()
        buffer = self._buffer
        if buffer is None:
            raise RuntimeError(f"enter the channel first: async with client.channel({self.name!r})")
        while True:
            position, event = await buffer.take()
            self._pending = position
            if event is None:
                self._commit()
                continue
            if isinstance(event, Message):
                try:
                    event.data = self._validate(event.data)
                except InvalidData as error:
                    return Invalid(self.name, event.data, error, event.offset)
            return event  # type: ignore[no-any-return]

    def _commit(self) -> None:
        position, self._pending = self._pending, None
        if position is not None and self._feed is not None and self._reader is not None:
            self._position = self._reader.taken = position
            self._host.keep(self._feed)

    async def _tell_lost(self, lost: Lost) -> None:
        if self._strict:
            raise _continuity_lost(lost)
        if self._on_lost is not None:
            result = self._on_lost(lost)
            if inspect.isawaitable(result):
                await result
        elif not self._warned:
            self._warned = True
            log.warning(
                "messages of %s may be missing (%s): fetch its state again; "
                "on_lost= or events() tell you each time",
                self.name,
                lost.reason,
            )

    # ---------------------------------------------------------------------------------------------- speak and ask

    async def publish(
        self,
        data: T,
        *,
        key: str | None = None,
        conflate_key: str | None = None,
        echo: bool = True,
        ephemeral: bool = False,
    ) -> Published:
        """Publish once, behind what this client has published here before. Waits through reconnects.

        `key` makes a repeated publish one, within 5 minutes; without it each call has its own. `echo=False`: it does
        not come back to this client. `ephemeral`: it is not stored, and not repeated when the connection breaks.
        `conflate_key`: what the message is the newest of; a reader that falls behind may get the newest of each.

        Raises InvalidData when it does not fit the channel's type, OpenlineError when it was refused, waited too long
        (`expired`), found the queue full (`queue_full`), or the client ended (`disconnected`).
        """
        plain = to_plain(data)
        self._validate(plain)
        return await self._host.publish_plain(
            self.name,
            plain,
            key=key,
            conflate_key=conflate_key,
            echo=echo,
            ephemeral=ephemeral,
            ordered=self._ordered,
        )

    async def history(
        self, *, since: Position | None = None, limit: int = 100, reverse: bool = False
    ) -> History[T]:
        """Stored messages: at most `limit` (500) behind `since`, or with `reverse` before it, newest first.

        A message that does not fit the type is left out, with a warning in the log. Raises OpenlineError.
        """
        frame: Frame = {"type": "history", "channel": self.name, "limit": limit}
        if since is not None:
            frame["since"] = protocol.position(since)
        if reverse:
            frame["reverse"] = True
        answer = await self._host.request(frame)
        return History(
            list(self._stored(answer["messages"])),
            answer["epoch"],
            answer["offset"],
            bool(answer["more"]),
        )

    def _stored(self, frames: list[Frame]) -> Generator[Message[T]]:
        for frame in frames:
            message: Message[T] = protocol.message(frame, self.name)
            try:
                message.data = self._validate(message.data)
            except InvalidData as error:
                log.warning("a message of the history of %s was left out: %s", self.name, error)
            else:
                yield message

    async def presence(self, *, cursor: str | None = None) -> PresencePage:
        """Who is here: a page of at most 1,000; `cursor` of one asks for the next. Raises OpenlineError."""
        frame: Frame = {"type": "presence", "channel": self.name}
        if cursor is not None:
            frame["cursor"] = cursor
        return protocol.presence(await self._host.request(frame))

    async def typing(self) -> None:
        """Let the others know that this user is typing. At most once: without a connection nothing is sent."""
        self._host.tell({"type": "typing", "channel": self.name})


class _Iterator(AsyncIterator[T]):
    """What `async for` goes over. It holds nothing: leaving the loop early loses nothing."""

    def __init__(self, following: Callable[[], Awaitable[T]]) -> None:
        self._following = following

    def __anext__(self) -> Awaitable[T]:
        return self._following()


def _continuity_lost(lost: Lost) -> ContinuityLost:
    return ContinuityLost(lost.channel, reason=lost.reason, began=lost.began, wait=lost.wait)
