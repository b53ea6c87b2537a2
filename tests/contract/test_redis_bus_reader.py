"""Reads that are sent ahead while a bus is quiet: they are there, and what becomes of them."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as Lost

from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.broker.redis.bus_reader import AHEAD, WINDOW, BusReader
from services.kernel.domain.codes import OpenlineError
from services.kernel.redis.connections import Dial
from services.kernel.redis.keys import Keys
from tests.contract.steps import draft, follow, publish
from tests.support.redis_server import start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request, tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis"), flavour=request.param) as running:
        yield running


@pytest.fixture
async def broker(server):
    with server.client() as client:
        client.flushall()
    broker = RedisBroker(server.url, lease=30.0)
    yield broker
    await broker.close()


def reads(server):
    """How often the server has read from a connection."""
    with server.client() as client:
        return client.info("stats")["total_reads_processed"]


async def test_a_quiet_bus_does_not_wake_the_server_for_each_next_read(broker, server):
    position = await follow(broker, 0, quiet=3)
    before, entries = reads(server), 2 * AHEAD
    await follow(broker, position, quiet=entries)
    # One for each publish, and few for reads; those of this test are the rest.
    assert reads(server) - before <= entries + 8


async def test_a_busy_bus_is_read_in_batches(broker, server):
    reader = BusReader(Dial(server.url), Keys(0).bus, demoted=lambda: None)
    for _ in range(4):
        await broker.publish([draft("room:a") for _ in range(30)])
    assert len(await reader.read(0, block=2.0)) == 120
    reading = asyncio.create_task(reader.read(120, block=10.0))
    await until(lambda: reader._sent)
    assert reader._sent.due == 1
    await asyncio.sleep(2 * WINDOW)
    await publish(broker, "room:a", "x")
    assert [entry.id for entry in await reading] == [121]
    reading = asyncio.create_task(reader.read(121, block=10.0))
    await until(lambda: reader._sent)
    assert reader._sent.due == AHEAD
    reading.cancel()
    await asyncio.wait([reading])
    assert not reader._sent
    await reader.close()


async def test_reads_that_were_sent_ahead_end_with_their_connection(broker, server):
    position = await follow(broker, 0, quiet=5)
    reading = asyncio.create_task(broker.read(0, position, block=10.0))
    with server.client() as client:
        await until(lambda: client.info("clients")["blocked_clients"])
        client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(OpenlineError):
        await reading
    await publish(broker, "room:a", "x")
    assert [entry.id for entry in await broker.read(0, position)] == [position + 1]
    await broker.reconnect(0)
    await follow(broker, position + 1, quiet=5)


@pytest.mark.parametrize("end", ["reset", "close"])
async def test_a_read_whose_connection_is_being_opened_ends_as_well(server, end):
    opening, opened = asyncio.Event(), asyncio.Event()

    async def check(_):
        opening.set()
        await opened.wait()

    reader = BusReader(Dial(server.url), Keys(0).bus, demoted=lambda: None, check=check)
    reading = asyncio.create_task(reader.read(0, block=10.0))
    await opening.wait()
    if end == "reset":
        reader.reset()
    else:
        await reader.close()
    opened.set()
    with pytest.raises(Lost):
        await reading
    assert reader._connection is None
