"""A client that fails soon and leaves repeating to its callers."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from redis.exceptions import RedisError

from services.kernel.tokens import redis_client
from tests.support.redis_server import start_redis


async def test_a_server_that_never_answers_costs_no_more_than_the_patience(monkeypatch):
    monkeypatch.setattr(redis_client, "SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = redis_client.connect(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        began = time.monotonic()
        with pytest.raises(RedisError):
            await client.ping()
        assert time.monotonic() - began < 2
        await client.aclose()


@pytest.mark.server
async def test_in_a_rush_calls_wait_for_few_connections_and_none_fails(tmp_path):
    with start_redis(tmp_path) as server:
        client = redis_client.connect(server.url)
        pings = await asyncio.gather(*(client.ping() for _ in range(500)))
        assert pings == [True] * 500
        connected = (await client.info("clients"))["connected_clients"]
        assert connected <= redis_client.CONNECTIONS
        await client.aclose()


def test_a_url_that_is_none_is_refused():
    with pytest.raises(ValueError, match="scheme"):
        redis_client.connect("nonsense")
