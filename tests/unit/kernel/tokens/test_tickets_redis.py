"""Tickets on a real Redis, beside what their contract says: nobody can read them there."""

from __future__ import annotations

import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Dial
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.support.redis_server import start_redis

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def client(server):
    one = Client(Dial(server.url))
    yield one
    await one.close()


async def test_the_store_does_not_hold_the_ticket(client, server):
    ticket = await RedisTickets(client).issue("token", ttl=30)
    with server.client() as redis:
        keys = [key.decode() for key in redis.keys("ol:{p0}:ticket:*")]
    assert keys
    assert not any(ticket in key for key in keys)


async def test_without_redis_tickets_are_unavailable(tmp_path):
    with start_redis(tmp_path) as server:
        client = Client(Dial(server.url))
        tickets = RedisTickets(client)
        ticket = await tickets.issue("token", ttl=30)
        server.stop()
        for call in (tickets.issue("token", ttl=30), tickets.redeem(ticket)):
            with pytest.raises(OpenlineError) as caught:
                await call
            assert caught.value.code is Code.UNAVAILABLE
        await client.close()
