"""The small client, keeping a record from which holes, repeats and what was flagged can be told."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from tests.support.people import People
from tests.support.small_client import Client
from tests.support.traffic import Traffic


class Listener(Client):
    """Follows one channel through reconnects. A context manager that ends it."""

    def __init__(self, url: str, token: Callable[[], str], channel: str) -> None:
        self.channel = channel
        self.heard: list[tuple[str, int, Any]] = []
        self.holes: list[str] = []
        self.flagged = 0
        self.connections = 0
        self.ends: list[tuple[int, str]] = []
        self.errors: list[Any] = []
        super().__init__(url, token, [channel], self._hear, self._lost, self.errors.append)

    def _hear(self, message: Any) -> None:
        place = self.positions[message["channel"]]
        if message["channel"] == self.channel:
            self.heard.append((place["epoch"], message["offset"], message["data"]))

    def _lost(self, channel: str) -> None:
        self.flagged += channel == self.channel

    def start(self, channel: str, event: Any, lost: bool = False) -> None:  # noqa: FBT001, FBT002 - as its own
        """Take a position; one that moves without being flagged would be a silent gap."""
        before = self.positions.get(channel)
        flagged = lost or event.get("recovered") is False
        after = {"epoch": event["epoch"], "offset": event["offset"]}
        if channel == self.channel and before not in (None, after) and not flagged:
            self.holes.append(f"{before} became {after} by {event}")
        super().start(channel, event, lost)

    async def receive(self, event: Any, socket: Any) -> None:
        """Look at each message before the small client does."""
        if event["type"] == "message" and event.get("channel") == self.channel:
            last = self.positions[self.channel]["offset"]
            if event["offset"] != last + 1:
                self.holes.append(f"{last} is followed by {event}")
        await super().receive(event, socket)

    async def connection(self) -> tuple[int, str]:
        """One connection; how it ended is kept."""
        self.connections += 1
        end: tuple[int, str] = await super().connection()
        self.ends.append(end)
        return end

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run())
        await self.until(lambda: self.channel in self.positions)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait until the condition holds, and fail when the client has ended instead."""
        async with asyncio.timeout(seconds):
            while not condition():
                assert not self._task.done(), self._task
                await asyncio.sleep(0.05)

    def data(self) -> list[Any]:
        """The data of all messages in their order."""
        return [data for _, _, data in self.heard]


@contextlib.asynccontextmanager
async def listeners(people: People, channel: str, count: int = 6) -> AsyncIterator[list[Listener]]:
    """So many clients of a channel, each a user of its own."""
    tokens = [await people.minted(f"user-{n}") for n in range(count)]
    async with contextlib.AsyncExitStack() as opened:
        yield [
            await opened.enter_async_context(
                Listener(people.ws(), lambda token=token: token, channel)
            )
            for token in tokens
        ]


@contextlib.asynccontextmanager
async def traffic(people: People, seconds: float) -> AsyncIterator[list[Listener]]:
    """Clients of a room and somebody who publishes to it; at the end, what each client heard is checked."""
    channel = f"room:{secrets.token_hex(6)}"
    published = Traffic()
    async with listeners(people, channel) as clients:
        async with asyncio.TaskGroup() as publishing:
            publishing.create_task(published.publish(people, channel, seconds=seconds, rate=20))
            yield clients
        marker = secrets.token_hex(4)
        await people.publish(channel, marker)
        for client in clients:
            await client.until(lambda client=client: client.heard and client.data()[-1] == marker)
            check(client, published)
    assert published.acked
    assert not published.doubled


def check(client: Listener, published: Traffic) -> None:
    """Assert that the client heard all that was acknowledged, in order and once, or was told that it did not."""
    assert client.holes == []
    assert client.errors == []
    numbers = [data["n"] for data in client.data() if isinstance(data, dict)]
    if not client.flagged:
        assert set(numbers) >= set(published.acked.values())
        assert len(numbers) == len(set(numbers))
