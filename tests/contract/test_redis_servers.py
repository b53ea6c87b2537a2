"""The broker keeps its contract over two servers, one goes on without the other, and a swapped one is refused."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.keys import Keys, layout
from services.kernel.redis.servers import Server
from tests.contract.partition_contract import PARTITIONS, PartitionContract
from tests.contract.steps import beat, draft, expect_error, publish
from tests.support.redis_server import start_redis

pytestmark = pytest.mark.server


class Two:
    """Partition 0 on one server, partition 1 on the other."""

    def __init__(self, folder) -> None:
        # What is killed must not come back with what a test before has left there.
        aof = ("--appendonly", "yes", "--appendfsync", "always")
        self.servers = [start_redis(folder, *aof), start_redis(folder, *aof, flavour="valkey")]

    @property
    def url(self):
        return tuple(Server(one.url, (number,)) for number, one in enumerate(self.servers))

    def flush(self):
        for server in self.servers:
            if server.process.poll() is not None:
                server.start()
            with server.client() as client:
                client.flushall()

    def stop(self):
        for server in self.servers:
            server.stop(kill=True)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    two = Two(tmp_path_factory.mktemp("two"))
    yield two
    two.stop()


@pytest.fixture
def two(running):
    running.flush()
    return running


@contextlib.asynccontextmanager
async def broker_of(where, **options):
    broker = RedisBroker(where, **options)
    try:
        yield broker
    finally:
        await broker.close()


class TestTwoServers(PartitionContract):
    @pytest.fixture
    async def make(self, two):
        first, second = two.servers
        async with contextlib.AsyncExitStack() as stack:

            async def make(**options) -> RedisBroker:
                where = (Server(first.url, (0, 2)), Server(second.url, (1,)))
                assert options == {"partitions": PARTITIONS}
                return await stack.enter_async_context(broker_of(where, lease=30))

            yield make


async def works(where, **options) -> None:
    async with broker_of(where, **options) as broker:
        await broker.start()
        for number in range(broker.partitions):
            await publish(broker, channel(broker, number), "1")


async def refusal(where, **options) -> str:
    """The one line with which a broker refuses to start."""
    with pytest.raises(ConfigurationError) as caught:
        await works(where, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def channel(broker, number) -> str:
    """The name of a channel of that partition."""
    return next(name for n in range(99) if broker.partition(name := f"room:{n}") == number)


async def test_each_partition_has_its_keys_on_its_server_alone(two):
    await works(two.url)
    for number, server in enumerate(two.servers):
        with server.client() as client:
            found = client.keys("*")
        assert found
        assert all(key.startswith(b"ol:{p%d}:" % number) for key in found)


async def test_while_one_server_is_away_the_others_channels_go_on(two):
    async with broker_of(two.url) as broker:
        await broker.start()
        here, there = channel(broker, 0), channel(broker, 1)
        await publish(broker, here, "1")
        (before,) = await publish(broker, there, "1")
        assert (await broker.health()).away == ()
        two.servers[1].stop(kill=True)
        epochs = set()
        async with asyncio.timeout(60):
            for number in range(200):
                over_both = await broker.publish([draft(here, str(number)), draft(there)])
                epochs.add(over_both[0].epoch)
                expect_error(over_both[1], Code.UNAVAILABLE)
        assert len(epochs) == 1, "nobody there is reset"
        assert (await broker.health()).away == (1,)
        assert await broker.spend({"amy": 1.0, "bob": 1.0, "cid": 1.0}, rate=1, burst=5)
        with pytest.raises(OpenlineError):
            await broker.listeners("i1", {here: 1, there: 1})
        two.servers[1].start()
        (after,) = await publish(broker, there, "2")
        assert after.offset == before.offset + 1
        assert (await broker.health()).away == ()
        for server in two.servers:
            server.stop(kill=True)
        with pytest.raises(OpenlineError):
            await broker.health()


async def test_a_server_that_hangs_is_named_and_holds_nobody_up(two, monkeypatch):
    monkeypatch.setattr("services.kernel.broker.redis.partitions.START_SECONDS", 3.0)
    monkeypatch.setattr("services.kernel.broker.redis.fleet.HEALTH_SECONDS", 3.0)
    await works(two.url)
    two.servers[1].pause()
    try:
        async with broker_of(two.url) as broker, asyncio.timeout(25):
            await broker.start()
            await publish(broker, channel(broker, 0), "1")
            assert (await broker.health()).away == (1,)
    finally:
        two.servers[1].resume()


async def test_a_fleet_begins_when_all_servers_can_be_asked(two):
    """One that is away may hold what would begin anew elsewhere."""
    two.servers[1].stop(kill=True)
    async with broker_of(two.url) as broker:
        await broker.start()
        refused = await broker.publish([draft(channel(broker, 0))])
        expect_error(refused[0], Code.UNAVAILABLE)
        two.servers[1].start()
        await publish(broker, channel(broker, 0), "1")


async def test_what_a_node_listens_to_is_told_where_it_can_be(two):
    async with broker_of(two.url) as broker:
        for number in range(2):
            await beat(broker, "i1", number)
        here, there = channel(broker, 0), channel(broker, 1)
        two.servers[1].stop(kill=True)
        with pytest.raises(OpenlineError):
            await broker.listeners("i1", {there: 1, here: 3})
        assert await broker.subscribers([here]) == [3]
        with pytest.raises(OpenlineError):
            await broker.resign("i1")
        assert await broker.subscribers([here]) == [0]


async def test_a_swapped_map_is_refused(two):
    await works(two.url)
    first, second = two.servers
    line = await refusal((Server(second.url, (0,)), Server(first.url, (1,))))
    assert "lives at the server of partition" in line
    assert "OPENLINE_REDIS_SERVERS_FILE" in line
    for number, server in enumerate(two.servers):
        with server.client() as client:
            assert not client.exists(Keys(1 - number).record, Keys(1 - number).home)


async def test_a_server_of_another_fleet_is_refused(two, tmp_path):
    await works(two.url)
    with start_redis(tmp_path) as third, start_redis(tmp_path) as fourth:
        await works((Server(third.url, (0,)), Server(fourth.url, (1,))))
        line = await refusal((Server(two.servers[0].url, (0,)), Server(fourth.url, (1,))))
        assert "of another fleet" in line
    await works(two.url)


async def test_a_partition_that_was_given_to_an_empty_server_is_not_begun_anew(two):
    first, second = two.servers
    await works(first.url, partitions=2)
    line = await refusal(two.url)
    assert "partition 1 lives at the server of partition 0" in line
    assert "ol:{p1}:*" in line
    with first.client() as source, second.client() as target:
        for key in source.keys("ol:{p1}:*"):
            target.restore(key, 0, source.dump(key))
            source.delete(key)
    await works(two.url)


async def test_a_server_that_lost_everything_is_taken_back(two):
    """Its fleet is known from the others."""
    await works(two.url)
    with two.servers[0].client() as client:
        client.flushall()
    await works(two.url)
    async with broker_of(two.url) as broker:
        await broker.start()
        with two.servers[1].client() as client:
            client.flushall()
        await broker.reconnect(1)
        await publish(broker, channel(broker, 1), "1")


async def test_a_fleet_that_was_named_anew_after_a_loss_is_followed_on_all_servers(two):
    async with broker_of(two.url) as before:
        await before.start()
        for server in two.servers:
            with server.client() as client:
                client.flushall()
        await works(two.url)
        for number in range(2):
            await before.reconnect(number)
            await publish(before, channel(before, number), "1")


async def test_data_of_a_version_without_homes_is_given_them(two):
    (server, _) = two.servers
    with server.client() as client:
        client.set(layout(), 2)
        assert "OPENLINE_PARTITIONS=2" in await refusal(server.url, partitions=3)
        assert client.keys("*") == [layout().encode()]
        await works(server.url, partitions=2)
        homes = [client.hgetall(Keys(number).home) for number in range(2)]
    fleet = homes[0][b"fleet"]
    assert [
        home == {b"fleet": fleet, b"number": b"%d" % n, b"of": b"2", b"layout": b"1"}
        for n, home in enumerate(homes)
    ] == [True, True]


async def test_services_that_begin_together_agree_on_a_name(two):
    brokers = [RedisBroker(two.url) for _ in range(6)]
    await asyncio.gather(*(broker.start() for broker in brokers))
    for broker in brokers:
        for number in range(2):
            await publish(broker, channel(broker, number), "1")
        await broker.close()


async def test_what_is_wrong_with_a_server_names_its_partitions(two):
    with two.servers[1].client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert (await refusal(two.url)).startswith("partition 1: Redis may evict")
        finally:
            client.config_set("maxmemory-policy", "noeviction")
