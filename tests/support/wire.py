"""A WebSocket client of the native protocol that says what it expects: the tests' own, with no reconnecting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.kernel.protocol import events

PATIENCE = 20.0
"""Seconds; fewer than the 25 after which a silent connection is asked, so that no heartbeat brings what is waited for."""


class Closed(AssertionError):  # noqa: N818 - what happened, not what failed
    """The connection ended while something else was expected."""

    def __init__(self, code: int, reason: str, seen: list[Any]) -> None:
        super().__init__(f"closed with {code} {reason!r} after {seen}")
        self.code = code
        self.reason = reason


class WireClient:
    """One connection. `seen` is everything that came, in order; `expect` takes events that were not taken yet.

    While `reading` is cleared it reads no further than what its library buffers.

    What the reference does not list ends the connection, and its `close` fails.
    """

    def __init__(self, socket: ClientConnection, *, binary: bool = False) -> None:
        self.socket = socket
        self.binary = binary
        self.seen: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self._taken: set[int] = set()
        self._first = 0
        self._news = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self._ids = 0
        self._path = socket.request.path if socket.request else ""
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        url: str,
        token: str | None = None,
        *,
        since: dict[str, Any] | None = None,
        binary: bool = False,
        auth: bool = True,
        **options: Any,
    ) -> Self:
        """Connect to `ws://.../ws` and, with `auth`, send the auth message and wait for `connected`."""
        options = {"max_size": 2**24, "open_timeout": 30, "close_timeout": 30} | options
        options.setdefault("subprotocols", ["openline.msgpack.v1"] if binary else None)
        socket = await connect(url, compression=None, ping_interval=None, proxy=None, **options)
        client = cls(socket, binary=binary)
        if auth:
            await client.send(
                {"type": "auth"}
                | ({"token": token} if token else {})
                | ({"since": since} if since else {})
            )
            await client.expect("connected")
        return client

    async def send(self, command: Any) -> None:
        """Send a command as it is."""
        if self.binary:
            await self.socket.send(msgspec.msgpack.encode(command))
        else:
            await self.socket.send(json.dumps(command))

    async def call(self, type: str, **fields: Any) -> Any:
        """Send a command with an id and wait for its ack or error."""
        self._ids += 1
        await self.send({"type": type, "id": self._ids, **fields})
        number = self._ids
        return await self.expect(
            where=lambda e: e.get("id") == number and e["type"] in ("ack", "error", "pong")
        )

    async def ok(self, type: str, **fields: Any) -> Any:
        """Send a command and demand its ack."""
        answer = await self.call(type, **fields)
        assert answer["type"] == "ack", answer
        return answer

    async def refused(self, type: str, **fields: Any) -> Any:
        """Send a command and demand its error."""
        answer = await self.call(type, **fields)
        assert answer["type"] == "error", answer
        return answer

    async def subscribe(self, channel: str, **fields: Any) -> Any:
        """Subscribe and demand the ack."""
        return await self.ok("subscribe", channel=channel, **fields)

    async def expect(
        self,
        type: str | None = None,
        *,
        where: Callable[[Any], bool] | None = None,
        patience: float = PATIENCE,
    ) -> Any:
        """The first event, not taken before, of this type that meets the condition."""
        async with asyncio.timeout(patience):
            while True:
                while self._first in self._taken:
                    self._first += 1
                for number in range(self._first, len(self.seen)):
                    event = self.seen[number]
                    if number in self._taken or (type is not None and event.get("type") != type):
                        continue
                    if where is None or where(event):
                        self._taken.add(number)
                        return event
                if self.closed is not None:
                    raise Closed(*self.closed, self.seen[-5:])
                self._news.clear()
                await self._news.wait()

    async def message(self, channel: str | None = None, *, patience: float = PATIENCE) -> Any:
        """The next message, of this channel if one is named."""
        return await self.expect(
            "message",
            where=lambda e: channel is None or e.get("channel") == channel,
            patience=patience,
        )

    async def messages(self, channel: str, count: int, *, patience: float = PATIENCE) -> list[Any]:
        """The next `count` messages of a channel."""
        return [await self.message(channel, patience=patience) for _ in range(count)]

    def taken_or_not(self, type: str) -> list[Any]:
        """Every event of a type that has come."""
        return [event for event in self.seen if event.get("type") == type]

    async def wait_closed(self, *, patience: float = PATIENCE) -> tuple[int, str]:
        """Code and reason of the end."""
        async with asyncio.timeout(patience):
            await self._reader
        assert self.closed is not None
        return self.closed

    async def close(self, code: int = 1000) -> None:
        """Close cleanly."""
        await self.socket.close(code)
        await self._reader

    async def closed_within(self, seconds: float) -> bool:
        """Wait for as long, or until it is closed; whether it was."""
        await asyncio.wait([self._reader], timeout=seconds)
        return self.closed is not None

    async def vanish(self) -> None:
        """End without a close frame."""
        self.socket.transport.abort()
        await self._reader

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _read(self) -> None:
        try:
            async for frame in self.socket:
                event = (
                    msgspec.msgpack.decode(frame) if isinstance(frame, bytes) else json.loads(frame)
                )
                _check(self._path, event)
                self.seen.append(event)
                self._news.set()
                await self.reading.wait()
        except ConnectionClosed:
            pass
        finally:
            code = self.socket.close_code
            self.closed = (1006 if code is None else code, self.socket.close_reason or "")
            self._news.set()


def _check(path: str, event: Any) -> None:
    """Raises ValidationError for an event that the reference does not list for a route."""
    if path.startswith("/ws/rooms/"):
        assert "channel" not in event, event
        named = {} if event["type"] in ("connected", "error", "pong") else {"channel": "room:any"}
        msgspec.convert({**event, **named}, events.Room)
    elif path.partition("?")[0] == "/ws":
        msgspec.convert(event, events.Event)
