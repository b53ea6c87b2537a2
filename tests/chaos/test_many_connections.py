"""A user with 80 of 100 connections through a crash, a restart and a drain: nobody is told to stay away."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import AsyncIterator

import pytest

from tests.support.listener import Listener
from tests.support.people import People
from tests.support.stack import Stack

SETTINGS = {"OPENLINE_DRAIN_SECONDS": "3"}
MANY = 80

pytestmark = pytest.mark.slow


@contextlib.asynccontextmanager
async def kiosks(people: People) -> AsyncIterator[list[Listener]]:
    """So many connections of one user, which follow one channel."""
    channel = f"room:{secrets.token_hex(6)}"
    token = await people.minted(f"kiosk-{secrets.token_hex(4)}")
    async with contextlib.AsyncExitStack() as opened:
        clients = [Listener(people.ws(), lambda: token, channel) for _ in range(MANY)]
        for client in clients:
            await opened.enter_async_context(client)
        await people.counted(channel, MANY)
        yield clients


async def all_hear(people: People, clients: list[Listener]) -> None:
    """Assert that everybody is there again, and that nobody was told to stay away."""
    marker = secrets.token_hex(4)
    await people.counted(clients[0].channel, MANY, patience=60)
    await people.publish(clients[0].channel, marker)
    for client in clients:
        await client.until(lambda client=client: marker in client.data())
        assert client.holes == []
    codes = {code for client in clients for code, _ in client.ends}
    assert not {code for code in codes if 4000 <= code < 4100}, codes


async def most_counted(people: People, channel: str, seconds: float) -> int:
    """The largest number of subscribers that is seen within so many seconds."""
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, sum([found["subscribers"] async for found in people.channels(channel)]))
        await asyncio.sleep(0.1)
    return most


async def test_a_gateway_that_is_killed_takes_nobody_with_it(stack: Stack, people: People) -> None:
    async with kiosks(people) as clients:
        channel = clients[0].channel
        await asyncio.to_thread(stack.down, "gateway-1", signal.SIGKILL)
        await asyncio.sleep(4.5)  # half a lease, and the time between beats
        assert await most_counted(people, channel, 4) <= MANY, "nobody counts twice"
        await all_hear(people, clients)
        await asyncio.to_thread(stack.up, "gateway-1")


async def test_a_restart_of_redis_counts_nobody_twice(stack: Stack, people: People) -> None:
    async with kiosks(people) as clients:
        channel = clients[0].channel
        await asyncio.to_thread(stack.down, "redis", signal.SIGKILL)
        await asyncio.to_thread(stack.up, "redis")
        while (await people.call("GET", "/v1/channels")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert await most_counted(people, channel, 5) <= MANY
        await asyncio.to_thread(stack.down, "gateway-2", signal.SIGKILL)
        await all_hear(people, clients)
        await asyncio.to_thread(stack.up, "gateway-2")


async def test_a_drain_moves_everybody(stack: Stack, people: People) -> None:
    async with kiosks(people) as clients:
        await asyncio.to_thread(stack.down, "gateway-1", signal.SIGTERM)
        await all_hear(people, clients)
        await asyncio.to_thread(stack.up, "gateway-1")
