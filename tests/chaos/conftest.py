"""A system of its own for each file that mistreats one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from loadtest.chaos.proxy import SteerableProxy
from tests.support.people import People
from tests.support.redis_line import RedisLine
from tests.support.redis_server import start_redis
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A system with the module's `SETTINGS`."""
    settings = getattr(request.module, "SETTINGS", {})
    with Stack(tmp_path_factory.mktemp("stack"), **settings) as running:
        yield running


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    """Who talks to it."""
    async with People(stack.run) as talking:
        yield talking


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisLine]:
    """Redis, the proxy before it, and everything else behind that."""
    tmp_path = tmp_path_factory.mktemp("line")
    with start_redis(tmp_path / "redis", "--maxmemory-policy", "noeviction") as redis:
        async with SteerableProxy(redis.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            stack = Stack(tmp_path / "stack", OPENLINE_REDIS_URL=url)
            await asyncio.to_thread(stack.start)
            try:
                yield RedisLine(redis, proxy, stack)
            finally:
                await asyncio.to_thread(stack.stop)
