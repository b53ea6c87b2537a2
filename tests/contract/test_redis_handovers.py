"""Handovers: while a partition is sealed writers are refused and readers go on, and what is unsealed goes on under its id."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager

import pytest

from services.kernel.broker.port import Look, Stale
from services.kernel.broker.redis import seals
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.broker.redis.partitions import Options, Partitions
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.redis.servers import single
from services.kernel.tokens.revocations import Kind, Revocation
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.contract.steps import beat, draft, expect_error, head, member, publish_one, texts
from tests.support.redis_server import start_redis
from tests.support.sentinel_group import until

pytestmark = pytest.mark.server

RECORD = "ol:{p0}:history"
FILE = ("--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0")


@pytest.fixture(scope="module", params=["redis", "valkey"])
def started(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    with start_redis(folder, *FILE, flavour=request.param) as running:
        yield running


@asynccontextmanager
async def tools(server, **options):
    """A broker, as services have one, and what the tool of a handover has."""
    broker = RedisBroker(server.url, lease=30.0, **options)
    redis = Partitions(single(server.url, 1), options=Options(**options))
    try:
        yield broker, redis
    finally:
        await redis.close()
        await broker.close()


async def refused(call) -> OpenlineError:
    with pytest.raises(OpenlineError) as caught:
        await call
    return caught.value


async def stored_again(broker) -> None:
    """Publish until it is stored: the time of the seal is over then."""
    async with asyncio.timeout(30):
        while isinstance((await broker.publish([draft("room:a", "next")]))[0], OpenlineError):  # noqa: ASYNC110 - each turn asks
            await asyncio.sleep(0.02)


async def test_while_it_is_sealed_every_writer_is_refused_and_nothing_changes(server):
    async with tools(server) as (broker, redis):
        await publish_one(broker, draft("room:a"))
        await beat(broker, "i1")
        tickets = RedisTickets(broker.client)
        ticket = await tickets.issue("token", ttl=30)
        seal = await seals.seal(redis, 0, seconds=30)
        with server.client() as client:
            before = client.hgetall("ol:{p0}:head:room:a"), client.xlen("ol:{p0}:bus")
        revocation = Revocation(kind=Kind.TOKEN, value="t1", exp=time.time() + 600)
        (result,) = await broker.publish([draft("room:a", key="a/k")])
        refusals = [
            expect_error(result, Code.UNAVAILABLE),
            await refused(broker.open("room:b", "e1")),
            await refused(broker.drop("room:a")),
            await refused(broker.control(b"{}")),
            await refused(broker.typing("room:a", "bob")),
            await refused(beat(broker, "i1")),
            await refused(broker.enter("room:a", member("c1"), "i1", announce=True)),
            await refused(broker.leave("room:a", "c1", "i1", announce=True, linger=False)),
            await refused(broker.listeners("i1", {"room:a": 3})),
            await refused(broker.reap(0, "i0")),
            await refused(RedisRevocations(broker.client).add(revocation)),
            await refused(tickets.issue("token", ttl=30)),
            await refused(tickets.redeem(ticket)),
            await refused(seals.seal(redis, 0, seconds=30)),
        ]
        assert {error.code for error in refusals} == {Code.UNAVAILABLE}
        assert {error.retry_after for error in refusals} == {1.0}
        assert {error.message.split(": ")[-1] for error in refusals} == {
            "this partition is being handed over"
        }
        with server.client() as client:
            assert before == (client.hgetall("ol:{p0}:head:room:a"), client.xlen("ol:{p0}:bus"))
            assert not client.exists("ol:{p0}:revoked")
            assert len(client.keys("ol:{p0}:ticket:*")) == 1
        assert await seals.unseal(redis, seal, replid=seal.replid)
        assert await tickets.redeem(ticket) == "token"


async def test_a_seal_of_a_clock_that_was_set_back_does_not_stop_revocations_and_tickets(server):
    async with tools(server) as (broker, _):
        with server.client() as client:
            client.hset("ol:{p0}:history", "seal_until", int((time.time() + 3600) * 1000))
            revocation = Revocation(kind=Kind.TOKEN, value="t1", exp=time.time() + 600)
            await RedisRevocations(broker.client).add(revocation)
            assert client.zcard("ol:{p0}:revoked") == 1
            tickets = RedisTickets(broker.client)
            assert await tickets.redeem(await tickets.issue("token", ttl=30)) == "token"


async def test_who_redeems_a_ticket_when_the_time_of_a_seal_is_over_has_broken_it(server):
    """Else the server that goes on by this seal could be one where the ticket is still good."""
    async with tools(server) as (broker, redis):
        tickets = RedisTickets(broker.client)
        ticket = await tickets.issue("token", ttl=30)
        seal = await seals.seal(redis, 0, seconds=0.2)
        await asyncio.sleep(0.25)
        assert await tickets.redeem(ticket) == "token"
        assert not await seals.unseal(redis, seal, replid=seal.replid)
        await publish_one(broker, draft("room:a"))
        assert (await head(broker, "room:a")).history != seal.history
        assert await states(redis) is None


async def test_readers_go_on_meanwhile_and_writers_afterwards_as_if_nothing_had_been(server):
    async with tools(server) as (broker, redis):
        first = await publish_one(broker, draft("room:a", "1"))
        history = (await beat(broker, "i1")).history
        assert broker.counters.handovers == {0: False}
        seal = await seals.seal(redis, 0, seconds=30)
        assert seal.history == history
        await refused(beat(broker, "i1"))
        assert broker.counters.handovers == {0: True}
        assert texts((await head_with_all(broker)).publications) == ["1"]
        assert await broker.read(0, 0, block=0.05)
        assert await seals.unseal(redis, seal, replid=seal.replid)
        second = await publish_one(broker, draft("room:a", "2"))
        assert (second.epoch, second.offset) == (first.epoch, 2)
        assert (await beat(broker, "i1")).history == history
        assert broker.counters.handovers == {0: False}
        assert await states(redis) is None


async def head_with_all(broker):
    page = await broker.history("room:a", since=None, limit=10, reverse=False)
    assert (await head(broker, "room:a")).epoch == page.epoch
    return page


async def states(redis) -> float | None:
    (state,) = await seals.states(redis, [0])
    return state.left


async def test_only_who_sealed_it_can_unseal_it_and_at_the_server_that_is_named(server):
    async with tools(server) as (_, redis):
        seal = await seals.seal(redis, 0, seconds=30)
        left = await states(redis)
        assert left is not None
        assert 25 < left <= 30
        assert not await seals.unseal(redis, seal._replace(nonce="0" * 32), replid=seal.replid)
        assert not await seals.unseal(redis, seal._replace(history="0" * 16), replid=seal.replid)
        assert not await seals.unseal(redis, seal, replid="0" * 40)
        assert await seals.unseal(redis, seal, replid=seal.replid)
        assert await seals.unseal(redis, seal, replid=seal.replid), "the first answer may be lost"
        later = await seals.seal(redis, 0, seconds=30)
        assert not await seals.unseal(redis, seal, replid=seal.replid)
        assert await seals.unseal(redis, later, replid=seal.replid)


@pytest.mark.parametrize("trusted", [False, True])
async def test_when_its_time_is_over_the_next_writer_begins_a_new_history(server, trusted):
    """Nobody knows whether another server serves the old one by now. Trust in restarts changes nothing."""
    async with tools(server, trusted_restart=trusted) as (broker, redis):
        first = await publish_one(broker, draft("room:a"))
        seal = await seals.seal(redis, 0, seconds=0.2)
        assert (await head(broker, "room:a")).epoch == first.epoch
        await stored_again(broker)
        looked = await head(broker, "room:a")
        assert looked.epoch != first.epoch
        assert looked.history != seal.history
        assert not await seals.unseal(redis, seal, replid=seal.replid)
        assert await states(redis) is None


async def test_a_seal_that_ends_too_far_ahead_is_of_a_clock_that_was_set_back(server):
    async with tools(server) as (broker, redis):
        await seals.seal(redis, 0, seconds=30)
        with server.client() as client:
            client.hset(RECORD, "seal_until", round((time.time() + 3600) * 1000))
        assert await states(redis) == 0
        await publish_one(broker, draft("room:a"))


async def test_of_a_partition_that_has_moved_away_is_said_which_server_to_name(server):
    async with tools(server) as (_, redis):
        await seals.seal(redis, 0, seconds=30)
        with server.client() as client:
            client.hset(RECORD, "seal_until", "moved")
        error = await refused(states(redis))
        assert "partition 0 has moved to another server: name that one in" in error.message


async def test_breaking_a_seal_lets_writers_on_at_once_under_a_new_history(server):
    async with tools(server) as (broker, redis):
        first = await publish_one(broker, draft("room:a"))
        assert not await seals.break_seal(redis, 0)
        seal = await seals.seal(redis, 0, seconds=30)
        assert await seals.break_seal(redis, 0)
        assert (await publish_one(broker, draft("room:a"))).epoch != first.epoch
        assert not await seals.unseal(redis, seal, replid=seal.replid)


async def test_a_handover_takes_a_minute_at_most(server):
    async with tools(server) as (_, redis):
        for seconds in (0, 61):
            with pytest.raises(ValueError, match="60 seconds"):
                await seals.seal(redis, 0, seconds=seconds)


async def test_a_replica_that_has_the_seal_goes_on_with_the_history(server, tmp_path):
    with start_redis(tmp_path, flavour=server.flavour) as replica:
        async with tools(server) as (broker, redis), tools(replica) as (later, there):
            replicate(server, replica)
            first = await publish_one(broker, draft("room:a"))
            seal = await seals.seal(redis, 0, seconds=30)
            promote(server, replica)
            # Before it is unsealed readers find it as it was, and writers are refused.
            assert (await head(later, "room:a")).epoch == first.epoch
            expect_error((await later.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
            replid = await seals.replication_id(there.parts[0])
            assert replid != seal.replid
            assert await seals.unseal(there, seal, replid=replid)
            second = await publish_one(later, draft("room:a"))
            assert (second.epoch, second.offset) == (first.epoch, 2)
            assert (await head(later, "room:a")).history == seal.history


async def test_a_promotion_after_the_time_of_the_seal_begins_a_new_history(server, tmp_path):
    with start_redis(tmp_path, flavour=server.flavour) as replica:
        async with tools(server) as (broker, redis), tools(replica) as (later, _):
            replicate(server, replica)
            first = await publish_one(broker, draft("room:a"))
            seal = await seals.seal(redis, 0, seconds=0.2)
            promote(server, replica)
            await stored_again(later)
            looked = await head(later, "room:a")
            assert looked.epoch != first.epoch
            assert looked.history != seal.history


async def test_a_replica_promoted_after_the_unsealing_begins_a_new_history(server, tmp_path):
    """The seal was of the master: what it wrote since may be missing."""
    with start_redis(tmp_path, flavour=server.flavour) as replica:
        async with tools(server) as (broker, redis), tools(replica) as (later, there):
            replicate(server, replica)
            first = await publish_one(broker, draft("room:a"))
            seal = await seals.seal(redis, 0, seconds=30)
            assert await seals.unseal(redis, seal, replid=seal.replid)
            promote(server, replica)
            replid = await seals.replication_id(there.parts[0])
            assert not await seals.unseal(there, seal, replid=replid)
            (looked,) = await later.look(0, [Look("room:a")])
            assert isinstance(looked, Stale)
            assert (await publish_one(later, draft("room:a"))).epoch != first.epoch


async def test_a_restart_with_its_file_goes_on_with_the_history(server):
    async with tools(server) as (broker, redis):
        first = await publish_one(broker, draft("room:a"))
        seal = await seals.seal(redis, 0, seconds=30)
        server.restart()
        replid = await again(seals.replication_id, redis.parts[0])
        assert await seals.unseal(redis, seal, replid=replid)
        async with tools(server) as (later, _):
            second = await publish_one(later, draft("room:a"))
        assert (second.epoch, second.offset) == (first.epoch, 2)


async def test_an_old_file_with_a_seal_is_opened_by_nobody(server, tmp_path):
    """It lacks what was acknowledged since. Who undid the seal named the server as it ran then."""
    async with tools(server) as (broker, redis):
        first = await publish_one(broker, draft("room:a"))
        seal = await seals.seal(redis, 0, seconds=60)
        server.stop()
        old = shutil.copytree(server.folder, tmp_path / "old")
        server.start()
        replid = await again(seals.replication_id, redis.parts[0])
        assert await again(seals.unseal, redis, seal, replid=replid)
        await again(publish_one, broker, draft("room:a"))
        server.stop(kill=True)
        shutil.rmtree(server.folder)
        shutil.copytree(old, server.folder)
        server.start()
        replid_of_old = await again(seals.replication_id, redis.parts[0])
        assert not await again(seals.unseal, redis, seal, replid=replid)
        stranger = seal._replace(nonce="0" * 32)
        assert not await again(seals.unseal, redis, stranger, replid=replid_of_old)
        with server.client() as client:  # its time is over
            client.hset(RECORD, "seal_until", round(time.time() * 1000))
        await stored_again(broker)
        assert (await head(broker, "room:a")).epoch != first.epoch


async def again(call, *args, **options):
    """The result of a call whose connection may have been lost with the server's former run."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call(*args, **options)
            except (OpenlineError, AssertionError):
                await asyncio.sleep(0.02)


def replicate(master, replica) -> None:
    with replica.client() as client:
        client.replicaof("127.0.0.1", master.port)
        until(lambda: client.info("replication")["master_link_status"] == "up")


def promote(master, replica) -> None:
    """Once it has everything."""
    with master.client() as before, replica.client() as after:
        before.set("last", "1")
        assert before.wait(1, 20_000) == 1
        after.replicaof("NO", "ONE")
