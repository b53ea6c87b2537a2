"""Plain clients with a WebSocket: the native protocol in JSON and MessagePack, and a room at its URL."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, ClassVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from loadtest.chaos.raw_reader import LineLostError, Reader

_HANDSHAKE = 10.0
_GRACE = 10.0
_AGAIN = 0.5


class Native(Reader):
    """Any channels over one socket. `connection` is its id, by which it is ended when it comes back."""

    kind = "native"
    subprotocol: ClassVar[Any] = "openline.json.v1"
    connection: str | None = None

    async def once(self) -> None:
        """As `Reader.once`."""
        token = await self.token()
        async with asyncio.timeout(_HANDSHAKE):
            socket = await self._dial("/ws")
        try:
            await self._say(socket, type="auth", token=token, previous=self.connection)
            silence = _HANDSHAKE
            while True:
                await self.may_read()
                async with asyncio.timeout(silence):
                    event = self.decoded(await socket.recv())
                if event["type"] == "connected":
                    silence = event["ping"] + _GRACE
                await self._hear(socket, event)
        finally:
            socket.transport.abort()

    async def _dial(self, path: str, *, ping: float | None = None) -> ClientConnection:
        return await connect(
            self.url.replace("http", "ws", 1) + path,
            subprotocols=[self.subprotocol],
            compression=None,
            ping_interval=ping,
            proxy=None,
            max_size=2**24,
        )

    async def go(self, there: asyncio.Task[None]) -> None:
        """Leave: the server sees the line end."""
        there.cancel()
        with suppress(asyncio.CancelledError):
            await there

    async def _hear(self, socket: ClientConnection, event: dict[str, Any]) -> None:
        match event["type"]:
            case "connected":
                self.connected()
                self.connection = event["connection"]
                for name in self.names:
                    await self._subscribe(socket, name)
            case "ack" if event.get("id") in self.names:
                self.joined(event["id"], event)
            case "error" if event.get("id") in self.names:
                await self._refused(socket, event)
            case "message" if event["channel"] in self.names and "offset" in event:
                self.got(event["channel"], event)
            case "reset" if event["channel"] in self.names:
                self.lost(event["channel"], event, event["reason"])
            case "unsubscribed" if event["channel"] in self.names:
                await self._subscribe(socket, event["channel"])
            case "join" | "leave" if event["channel"] in self.names:
                self.passed(event["type"], event["channel"], event)
            case _:
                await self._obey(socket, event)

    async def _obey(self, socket: ClientConnection, event: dict[str, Any]) -> None:
        match event["type"]:
            case "ping":
                await self._say(socket, type="pong")
            case "expiring":
                await self._say(socket, type="auth", token=await self.token())
            case "reconnect":
                raise LineLostError("the node is leaving")

    async def _refused(self, socket: ClientConnection, event: dict[str, Any]) -> None:
        if not event["temporary"]:
            self.failed(event["id"], event["code"])
            return
        await asyncio.sleep(event.get("retry_after", _AGAIN))
        await self._subscribe(socket, event["id"])

    async def _subscribe(self, socket: ClientConnection, name: str) -> None:
        since = {}
        if name in self.at:
            epoch, offset = self.at[name]
            since = {"since": {"epoch": epoch, "offset": offset}}
        await self._say(socket, type="subscribe", channel=name, id=name, **since)

    async def _say(self, socket: ClientConnection, **command: Any) -> None:
        await socket.send(self.encoded(command))

    def encoded(self, command: dict[str, Any]) -> str | bytes:
        """As it goes over the wire."""
        return json.dumps(command)

    def decoded(self, frame: str | bytes) -> dict[str, Any]:
        """As it came over the wire."""
        event: dict[str, Any] = json.loads(frame)
        return event


class Packed(Native):
    """The same in MessagePack."""

    kind = "msgpack"
    subprotocol = "openline.msgpack.v1"

    def encoded(self, command: dict[str, Any]) -> bytes:
        """As `Native.encoded`."""
        return msgspec.msgpack.encode(command)

    def decoded(self, frame: str | bytes) -> dict[str, Any]:
        """As `Native.decoded`."""
        assert isinstance(frame, bytes)
        event: dict[str, Any] = msgspec.msgpack.decode(frame)
        return event


class Room(Native):
    """One room at its URL, which hands its position over in the query."""

    kind = "room"

    def channels(self, each: int) -> int:
        """As `Reader.channels`."""
        return min(1, each)

    async def once(self) -> None:
        """As `Reader.once`."""
        (channel,) = self.names
        query = f"?token={await self.token()}"
        if channel in self.at:
            epoch, offset = self.at[channel]
            query += f"&since={epoch}:{offset}"
        async with asyncio.timeout(_HANDSHAKE):
            socket = await self._dial(f"/ws/rooms/{channel.partition(':')[2]}{query}", ping=_GRACE)
        try:
            while True:
                await self.may_read()
                event = json.loads(await socket.recv())
                self._hear_plain(channel, event)
        finally:
            socket.transport.abort()

    def _hear_plain(self, channel: str, event: dict[str, Any]) -> None:
        match event["type"]:
            case "connected":
                self.connected()
                self.joined(channel, event)
            case "message" if "offset" in event:
                self.got(channel, event)
            case "reset":
                self.lost(channel, event, event["reason"])
            case "join" | "leave":
                self.passed(event["type"], channel, event)
