"""Recoveries that are large for the store, which is slow, or for the gateway, since nobody reads them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

from loadtest.chaos.proxy import SteerableProxy
from services.kernel.broker.port import Draft, Published
from services.kernel.broker.redis.broker import RedisBroker
from tests.support.redis_server import RedisServer, start_redis
from tests.support.resident import resident
from tests.support.service_process import ServiceProcess
from tests.support.wire import WireClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

LARGE = 60_000
MEGABYTE = 1 << 20


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    with start_redis(tmp_path) as running:
        yield running


async def fill(redis: RedisServer, channel: str, messages: int) -> Published:
    """Publish large messages; the first."""
    broker = RedisBroker(redis.url)
    draft = Draft(
        channel=channel,
        data=b'"%b"' % (b"x" * LARGE),
        meta=b'"ts":1',
        history_bytes=1 << 30,
    )
    first: Published | None = None
    for _ in range(messages):
        (stored,) = await broker.publish([draft])
        assert isinstance(stored, Published)
        first = first or stored
    await broker.close()
    assert first is not None
    return first


def socket(gateway: ServiceProcess) -> str:
    return f"{gateway.url.replace('http', 'ws', 1)}/ws"


async def test_a_recovery_that_takes_longer_than_patience_ends(
    redis: RedisServer, tmp_path: Path
) -> None:
    channels = ["public:all", "public:large"]
    first = [await fill(redis, channel, 60) for channel in channels]
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(SteerableProxy(redis.port))
        url = f"redis://127.0.0.1:{proxy.port}/0"
        gateway = await asyncio.to_thread(
            ServiceProcess, "gateway", tmp_path, OPENLINE_REDIS_URL=url
        )
        stack.push_async_callback(asyncio.to_thread, gateway.stop)
        # A page holds four messages: 15 replies to wait for, one after the other.
        proxy.delay = 0.25
        began = asyncio.get_running_loop().time()
        at = [{"epoch": one.epoch, "offset": 1} for one in first]
        client = await WireClient.open(socket(gateway), since={channels[0]: at[0]}, auth=False)
        await client.send({"type": "auth", "since": {channels[0]: at[0]}})
        opened = await client.expect("connected", patience=60)
        assert opened["channels"][channels[0]]["recovered"] is True
        assert asyncio.get_running_loop().time() - began > 5, (
            "slower than it would wait for nothing"
        )
        await client.send({"type": "subscribe", "id": 1, "channel": channels[1], "since": at[1]})
        ack = await client.expect("ack", where=lambda e: e.get("id") == 1, patience=60)
        assert ack["recovered"] is True
        for channel in channels:
            heard = await client.messages(channel, 59, patience=30)
            assert [event["offset"] for event in heard] == list(range(2, 61))
        await client.close()


async def test_what_nobody_reads_is_bounded_for_all_together(
    redis: RedisServer, tmp_path: Path
) -> None:
    """Twelve sockets ask for two rooms whole and read nothing: all that is held is held once, within the budget."""
    room, budget = 40, 48  # megabytes
    for name in "ab":
        await fill(redis, f"public:{name}", room * MEGABYTE // LARGE)
    async with AsyncExitStack() as stack:
        gateway = await asyncio.to_thread(
            ServiceProcess,
            "gateway",
            tmp_path,
            OPENLINE_REDIS_URL=redis.url,
            OPENLINE_REPLAY_BYTES=str(budget * MEGABYTE),
        )
        stack.push_async_callback(asyncio.to_thread, gateway.stop)
        before = resident(gateway.process.pid)
        for _ in range(12):
            await stack.enter_async_context(unread(socket(gateway), "public:a", "public:b"))
        most = 0
        for _ in range(60):
            most = max(most, resident(gateway.process.pid))
            await asyncio.sleep(0.1)
        sys.stdout.write(f"from {before >> 20} to {most >> 20} MiB\n")
        async with await WireClient.open(socket(gateway)) as bystander:
            await bystander.subscribe("public:c")
        # Beside the budget: what the store has answered and is being read, 64 KB a socket, and what the heap cannot give back.
        assert (most - before) / MEGABYTE < 1.5 * budget + 32, (before, most)


@contextlib.asynccontextmanager
async def unread(url: str, *channels: str) -> AsyncIterator[ClientConnection]:
    """A socket that asks for the newest of these channels and reads next to nothing."""
    async with connect(
        url, compression=None, proxy=None, ping_interval=None, max_queue=1, close_timeout=0.1
    ) as opened:
        await opened.send('{"type":"auth"}')
        assert json.loads(await opened.recv())["type"] == "connected"
        for channel in channels:
            await opened.send(json.dumps({"type": "subscribe", "channel": channel, "last": 1000}))
        yield opened
        opened.transport.abort()
