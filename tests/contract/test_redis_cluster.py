"""The broker keeps its contract on a cluster, whose slots it follows, and refuses what cannot work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pytest

from deploy.local.ports import free_port
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.tokens.revocations import Kind, Revocation
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.contract.steps import draft, expect_error, publish, publish_one
from tests.contract.test_redis_sentinel import certificate
from tests.contract.test_redis_streams import RedisContract
from tests.support.redis_cluster import SLOTS, RedisCluster, command
from tests.support.redis_server import start_redis
from tests.support.revocation_record import whole
from tests.support.waiting import wait_until

pytestmark = pytest.mark.server


NODE_TIMEOUT = 40_000
"""Milliseconds: no node is taken for dead because a busy machine gave it no time."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with RedisCluster(tmp_path_factory.mktemp("redis"), node_timeout=NODE_TIMEOUT) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("valkey")
    with RedisCluster(folder, flavour="valkey", node_timeout=NODE_TIMEOUT) as cluster:
        yield cluster


@pytest.mark.slow
class TestRedis(RedisContract):
    @pytest.fixture
    def server(self, redis):
        redis.flush()
        return redis


class TestValkey(RedisContract):
    @pytest.fixture
    def server(self, valkey):
        valkey.flush()
        return valkey


@contextlib.asynccontextmanager
async def broker_of(url, **options):
    broker = RedisBroker(url, **options)
    try:
        yield broker
    finally:
        await broker.close()


@pytest.fixture
async def broker(valkey):
    valkey.flush()
    async with broker_of(valkey.url, partitions=4) as broker:
        await broker.start()
        yield broker


ROOMS = [f"room:{n}" for n in range(16)]
"""Of all four partitions, which lie on all three masters."""


async def works(url) -> None:
    async with broker_of(url) as broker:
        await broker.start()
        await publish(broker, "room:a", "1")


async def refusal(url) -> str:
    """The one line with which a broker refuses to start."""
    with pytest.raises(ConfigurationError) as caught:
        await works(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def offsets(broker) -> list[int]:
    """The offsets that one message to each room is given."""
    results = await broker.publish([draft(room) for room in ROOMS])
    failed = [result for result in results if isinstance(result, OpenlineError)]
    assert not failed, failed
    return [result.offset for result in results]


async def test_partitions_are_served_by_several_masters(broker, valkey):
    assert await offsets(broker) == [1] * len(ROOMS)
    assert len({valkey.master(f"{{p{n}}}").port for n in range(4)}) == 3
    assert {broker.partition(room) for room in ROOMS} == {0, 1, 2, 3}
    assert all([await broker.read(partition, 0) for partition in range(4)])
    assert await broker.subscribers(ROOMS) == [0] * len(ROOMS)


async def test_what_was_laid_out_otherwise_is_refused(broker, valkey):
    await offsets(broker)
    async with broker_of(valkey.url, partitions=2) as other:
        with pytest.raises(ConfigurationError, match="OPENLINE_PARTITIONS=4"):
            await other.start()


async def test_tickets_and_revocations_go_to_the_master_of_their_slot(broker, valkey):
    tickets, revocations = RedisTickets(broker.client), RedisRevocations(broker.client)
    ticket = await tickets.issue("token", ttl=30)
    await revocations.add(Revocation(kind=Kind.TOKEN, value="t1", exp=time.time() + 600))
    valkey.move("{p0}", valkey.another_master())
    with valkey.client() as client:
        assert client.keys("ol:{p0}:ticket:*")
    assert await tickets.redeem(ticket) == "token"
    assert len(await whole(revocations, time.time())) == 1


async def test_a_slot_that_has_moved_is_followed_and_nobody_else_is_disturbed(broker, valkey):
    """Without a key as well: what was sent elsewhere did not run."""
    assert await offsets(broker) == [1] * len(ROOMS)
    kept = [part.client.writes._pipe for part in broker_parts(broker)]
    valkey.move("{p1}", valkey.another_master("{p1}"))
    assert await offsets(broker) == [2] * len(ROOMS)
    assert [
        part.client.writes._pipe is pipe
        for part, pipe in zip(broker_parts(broker), kept, strict=True)
    ] == [
        True,
        False,
        True,
        True,
    ]
    assert broker.counters.moves == 1
    assert not any(broker.counters.failures.values())


def broker_parts(broker):
    """Its partitions: what holds their connections."""
    return broker.start.__self__.parts


async def test_a_reader_reads_on_where_the_bus_has_moved(broker, valkey):
    await offsets(broker)
    entries = await broker.read(0, 0)
    reading = asyncio.create_task(broker.read(0, entries[-1].id, block=10))
    await asyncio.sleep(0.05)
    room = next(room for room in ROOMS if broker.partition(room) == 0)
    await asyncio.to_thread(valkey.move, "{p0}", valkey.another_master())
    await publish(broker, room, "next")
    (entry,) = list(await read_on(broker, reading, entries[-1].id))
    assert entry.id == entries[-1].id + 1


async def read_on(broker, reading, after):
    """What comes, as a gateway reads: again after a failure, from where it was."""
    with contextlib.suppress(OpenlineError):
        if entries := await reading:
            return entries
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OpenlineError):
                if entries := await broker.read(0, after):
                    return entries


async def test_while_a_slot_is_moved_its_partition_waits_and_what_waits_is_stored_once(
    broker, valkey
):
    """Half of its keys lie on either side then, and no script may begin what it cannot end."""
    first = await offsets(broker)
    sent: list[asyncio.Task] = []
    loop = asyncio.get_running_loop()

    def send():
        sent.append(asyncio.run_coroutine_threadsafe(offsets(broker), loop))
        time.sleep(0.4)
        assert not sent[0].done()

    await asyncio.to_thread(lambda: valkey.move("{p0}", valkey.another_master(), pause=send))
    assert await asyncio.wrap_future(sent[0]) == [offset + 1 for offset in first]
    assert await offsets(broker) == [offset + 2 for offset in first]


async def test_a_script_does_not_begin_where_a_key_has_gone_that_it_was_not_given(broker, valkey):
    """The bus's marks have gone ahead: without the guard the bus would have the entry, and the call would fail."""
    room = next(room for room in ROOMS if broker.partition(room) == 0)
    await broker.typing(room, "alice")
    master, to = valkey.master(), valkey.another_master()
    slot = command(master, "CLUSTER", "KEYSLOT", "{p0}")
    command(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", valkey.id(master))
    command(master, "CLUSTER", "SETSLOT", slot, "MIGRATING", valkey.id(to))
    assert command(master, "MIGRATE", "127.0.0.1", to.port, "ol:{p0}:bus:marks", 0, 5000) == b"OK"
    before = command(master, "XLEN", "ol:{p0}:bus")
    typing = asyncio.create_task(broker.typing(room, "alice"))
    await asyncio.sleep(0.3)
    assert not typing.done()
    assert command(master, "XLEN", "ol:{p0}:bus") == before
    await asyncio.to_thread(valkey.move, "{p0}", to)
    await typing
    assert command(to, "XLEN", "ol:{p0}:bus") == before + 1


async def test_a_move_that_does_not_end_is_waited_for_and_then_refused(broker, valkey):
    room = next(room for room in ROOMS if broker.partition(room) == 0)
    await publish(broker, room, "1")
    master, to = valkey.master(), valkey.another_master()
    slot = command(master, "CLUSTER", "KEYSLOT", "{p0}")
    command(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", valkey.id(master))
    command(master, "CLUSTER", "SETSLOT", slot, "MIGRATING", valkey.id(to))
    try:
        begun = time.monotonic()
        results = await asyncio.gather(*(broker.publish([draft(room)]) for _ in range(3)))
        assert 4 < time.monotonic() - begun < 9
        for (result,) in results:
            assert "moving" in expect_error(result, Code.UNAVAILABLE).message
    finally:
        for one in (master, to):
            command(one, "CLUSTER", "SETSLOT", slot, "STABLE")
    assert (await publish_one(broker, draft(room))).offset == 2


async def test_a_slot_that_nobody_serves_is_told_and_the_others_serve_on(broker, valkey):
    await offsets(broker)
    slot = command(valkey.servers[0], "CLUSTER", "KEYSLOT", "{p0}")
    # Its master first: from that one's next word the others would learn again whose it is.
    master = valkey.master()
    for one in (master, *(one for one in valkey.servers if one is not master)):
        command(one, "CLUSTER", "DELSLOTS", slot)
    try:
        room = next(room for room in ROOMS if broker.partition(room) == 0)
        error = expect_error((await broker.publish([draft(room)]))[0], Code.UNAVAILABLE)
        assert "cluster" in error.message
        async with broker_of(valkey.url, partitions=4) as other:
            await other.start()
            error = expect_error((await other.publish([draft(room)]))[0], Code.UNAVAILABLE)
            assert "no node of the cluster serves this partition" in error.message
            assert other.counters.masterless_partitions == 1
            elsewhere = next(room for room in ROOMS if other.partition(room) == 1)
            assert (await publish_one(other, draft(elsewhere))).offset == 2
    finally:
        command(valkey.servers[0], "CLUSTER", "ADDSLOTS", slot)
        await asyncio.to_thread(valkey.wait_whole)


async def test_what_is_no_cluster_is_refused(tmp_path):
    with start_redis(tmp_path) as server:
        line = await refusal(f"redis+cluster://127.0.0.1:{server.port}")
    assert "no node of a cluster" in line
    assert "redis://" in line
    assert "names a database" in await refusal("redis+cluster://h1,h2/1")


async def test_one_living_node_of_those_named_is_enough(valkey):
    dead = f"redis+cluster://127.0.0.1:{free_port()}"
    async with broker_of(dead) as broker:
        await broker.start()
        error = expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
        assert "no node of the cluster can be reached" in error.message
    valkey.flush()
    async with broker_of(f"{dead},127.0.0.1:{valkey.servers[2].port}") as broker:
        await publish(broker, "room:a", "1")


async def test_a_wrong_password_and_full_coverage_are_told(valkey, caplog):
    valkey.flush()
    for one in valkey.servers:
        command(one, "CONFIG", "SET", "cluster-require-full-coverage", "yes")
    with caplog.at_level(logging.WARNING):
        async with broker_of(valkey.url) as broker:
            await publish(broker, "room:a", "1")
    told = [line for line in caplog.records if line.message == "full_coverage_required"]
    assert [line.fix for line in told] == ["set cluster-require-full-coverage no on every node"]
    for one in valkey.servers:
        command(one, "CONFIG", "SET", "cluster-require-full-coverage", "no")
    url = valkey.url.replace("://", "://nobody:wr0ng@")
    assert "refuses user name or password" in await refusal(url)
    assert "wr0ng" not in caplog.text


async def test_nodes_are_reached_by_tls(tmp_path):
    cert, key = certificate(tmp_path, "ours")
    port, files = free_port(), {"cert-file": cert, "key-file": key, "ca-cert-file": cert}
    flags = [part for name, value in files.items() for part in (f"--tls-{name}", str(value))]
    flags += ["--tls-port", str(port), "--tls-auth-clients", "no", "--tls-cluster", "yes"]
    cluster = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with start_redis(tmp_path, *flags, *cluster) as server:
        command(server, "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        await asyncio.to_thread(
            wait_until, lambda: b"state:ok" in command(server, "CLUSTER", "INFO")
        )
        url = f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs="
        async with broker_of(f"{url}{cert}") as broker, asyncio.timeout(40):
            while isinstance((await broker.publish([draft("room:a")]))[0], OpenlineError):  # noqa: ASYNC110 - each turn asks
                await asyncio.sleep(0.05)
        other, _ = certificate(tmp_path, "other")
        async with broker_of(f"{url}{other}") as broker:
            error = expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
            assert "no node of the cluster can be reached" in error.message


async def test_a_closed_broker_leaves_nobody_who_asks(valkey):
    valkey.flush()
    before = asyncio.all_tasks()
    broker = RedisBroker(valkey.url, partitions=4)
    await broker.start()
    await broker.close()
    assert asyncio.all_tasks() == before
    expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
