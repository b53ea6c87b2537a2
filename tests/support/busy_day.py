"""A day in the life of a system, in half a minute: everything that dashboards ask about happens at least once."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import suppress
from typing import Any

import httpx2
import redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.wire import WireClient

SETTINGS = {"OPENLINE_OUTBOX_BYTES": "65536", "OPENLINE_DRAIN_SECONDS": "3"}
"""What a stack needs for it: readers that are soon too slow, and drains that take long enough to be seen."""

PADDING = "x" * 8_000
TROUBLE = (
    httpx2.TransportError,
    InvalidHandshake,
    ConnectionClosed,
    OSError,
    AssertionError,
    TimeoutError,
)
"""What users meet while parts of a system are taken away; they try again."""


class BusyDay:
    """Traffic on a stack with two gateways until `stop`."""

    def __init__(self, stack: Stack, people: People) -> None:
        self.stack = stack
        self.people = people
        self.room = f"room:{secrets.token_hex(4)}"
        self._over = asyncio.Event()
        self._work: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin what goes on all the time."""
        for work in (
            self._again(self._publish, 0.05),
            self._again(self._chat, 0.3),
            self._again(self._come_back, 0.5),
            self._again(self._mistakes, 0.5),
            self._again(self._logins, 1.5),
            self._listen(0),
            self._listen(1),
            self._stream(),
        ):
            self._work.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """End it. Raises what went wrong with any part."""
        self._over.set()
        await asyncio.gather(*self._work)

    async def slow_readers(self) -> None:
        """One that a namespace closes, and one that gets the latest value."""
        await asyncio.gather(self._stalled(self.room), self._stalled("live:price"))

    async def too_late(self) -> None:
        """A client that comes back to a history that is no more."""
        gone = {"epoch": "ofanotherlife", "offset": 1}
        await self._return(gone, gone)

    def bound_redis(self) -> None:
        """Give Redis a maximum of memory, so that there is a part of it to show."""
        with redis.Redis.from_url(self.stack.run["redis"]) as client:
            client.config_set("maxmemory", "512mb")

    async def _again(self, once: Any, every: float) -> None:
        while not self._over.is_set():
            # Parts of the system are taken away meanwhile.
            with suppress(*TROUBLE):
                await once()
            await _within(self._over, every)

    async def _publish(self) -> None:
        key = secrets.token_hex(4)
        for channel, fields in (
            (self.room, {"key": key}),
            (self.room, {"key": key}),
            ("notify:news", {}),
            ("public:all", {}),
            ("live:price", {"ephemeral": True}),
        ):
            await self.people.call(
                "POST", f"/v1/channels/{channel}/messages", json={"data": {"n": 1}, **fields}
            )
        await self.people.call("GET", f"/v1/channels/{self.room}/messages")

    async def _chat(self) -> None:
        async with await self.people.connect("alice", gateway=0) as alice:
            await alice.subscribe(self.room)
            await alice.ok("publish", channel=self.room, data="hello")
            await alice.call("history", channel=self.room, limit=5)
            await alice.call("publish", channel="room:not-mine", data="refused")

    async def _come_back(self) -> None:
        first = await self.people.connect("bob", gateway=1)
        (connected,) = first.taken_or_not("connected")
        ack = await first.subscribe(self.room)
        await first.vanish()
        public = connected["channels"]["public:all"]
        await self._return(
            *({"epoch": at["epoch"], "offset": at["offset"]} for at in (public, ack))
        )

    async def _return(self, public: dict[str, Any], room: dict[str, Any]) -> None:
        token = await self.people.token("bob")
        places = {"public:all": public}
        async with await WireClient.open(self.people.ws(1), token, since=places) as again:
            await again.subscribe(self.room, since=room)

    async def _mistakes(self) -> None:
        headers = {"authorization": "Bearer nonsense"}
        with suppress(InvalidHandshake):
            await connect(self.people.ws(0), additional_headers=headers, proxy=None)
        await self.people.call("POST", f"/v1/channels/{self.room}/messages", content=b"{")
        await self.people.http.get("/sse?channel=room:x", headers=headers)

    async def _logins(self) -> None:
        form = {"grant_type": "password", "username": "alice", "password": "wrong-password"}
        await self.people.http.post("/auth/token", data=form)
        form["password"] = self.stack.run["users"][0]["password"]
        await self.people.http.post("/auth/token", data=form)

    async def _listen(self, gateway: int) -> None:
        async def listen() -> None:
            reader = await self.people.connect("alice", gateway=gateway)
            for channel in (self.room, "notify:news", "live:price"):
                await reader.subscribe(channel)
            while reader.closed is None and not self._over.is_set():
                await _within(self._over, 0.2)
            await reader.close()

        await self._again(listen, 0.2)

    async def _stream(self) -> None:
        async def read() -> None:
            url = f"{self.people.front_door}/sse?channel=public:all"
            async with EventStream.open(self.people.http, url, timeout=None):
                await self._over.wait()

        await self._again(read, 0.2)

    async def _stalled(self, channel: str) -> None:
        """Read nothing while more is published than may wait, then read what there is."""
        token = await self.people.token("bob")
        stalled = await connect(
            self.people.ws(0), max_queue=1, compression=None, proxy=None, ping_interval=None
        )
        for command in (
            {"type": "auth", "token": token},
            {"type": "subscribe", "channel": channel},
        ):
            await stalled.send(json.dumps(command))
        for _ in range(25):
            batch = [{"channel": channel, "data": PADDING} for _ in range(50)]
            await self.people.call("POST", "/v1/messages", json={"messages": batch})
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(5):
                while True:
                    await stalled.recv()
        await stalled.close()


async def _within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
