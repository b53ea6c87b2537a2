"""A cluster that changes under traffic: how soon what moved is written to again, and what is lost without a word."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager

import pytest

from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import OpenlineError
from tests.contract.steps import draft
from tests.support.keyed_publishing import KeyedPublishing, lost
from tests.support.redis_cluster import RedisCluster, command
from tests.support.waiting import wait_until

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.alone]

RATE = 200


@pytest.fixture(scope="module", params=["redis", "valkey"])
def cluster(request, tmp_path_factory):
    with RedisCluster(tmp_path_factory.mktemp("cluster"), flavour=request.param, replicas=1) as one:
        yield one


@asynccontextmanager
async def traffic(cluster, seconds):
    """Publishes while the body runs and longer: each message with a key, and a reader beside."""
    await asyncio.to_thread(cluster.flush)
    broker = RedisBroker(cluster.url, lease=30.0)
    publishing = KeyedPublishing(broker, rate=RATE)
    try:
        await broker.start()
        running = asyncio.create_task(publishing.run(seconds))
        await asyncio.sleep(1)
        yield publishing
        await running
        gone, untold = await lost(broker, publishing.acknowledged)
        _log.info(
            f"refused {publishing.refused} of {len(publishing.acknowledged)}, longest pause"
            f" {publishing.longest_pause():.2f} s, lost {len(gone)}, silently {len(untold)}"
        )
        assert untold == []
        assert broker.counters.moves
    finally:
        await broker.close()


async def test_a_promoted_replica_is_followed_without_a_refusal(cluster):
    async with traffic(cluster, 4) as publishing:
        replica = await asyncio.to_thread(cluster.replica)
        command(replica, "CLUSTER", "FAILOVER")
    assert publishing.refused <= RATE // 10
    pause = publishing.longest_pause()
    assert pause < 2, f"{pause} s"


async def test_a_slot_that_is_moved_key_by_key_loses_and_doubles_nothing(cluster):
    async with traffic(cluster, 7) as publishing:
        await fill(publishing.broker, 10_000)
        begun = time.monotonic()
        keys = await asyncio.to_thread(cluster.move, "{p0}", cluster.another_master())
        took = time.monotonic() - begun
        _log.info(f"{keys} keys moved in {took:.2f} s")
    assert keys > 10_000
    pause = publishing.longest_pause()
    assert pause < took + 2, f"{pause} s"


async def test_a_slot_that_the_servers_move_at_once_is_followed(cluster):
    """Valkey 9 copies a slot as to a replica, and hands it over within a moment."""
    source, to = await asyncio.to_thread(cluster.master), cluster.another_master()
    slot = command(source, "CLUSTER", "KEYSLOT", "{p0}")
    if source.flavour == "redis":
        pytest.skip("only Valkey moves a slot at once")
    async with traffic(cluster, 7) as publishing:
        await fill(publishing.broker, 10_000)
        order = ("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.id(to))
        await asyncio.to_thread(command, source, *order)
        await asyncio.to_thread(wait_until, lambda: cluster.master() is to)
    assert publishing.refused <= RATE // 10
    pause = publishing.longest_pause()
    assert pause < 3, f"{pause} s"


async def test_the_replica_of_a_master_that_was_killed_is_written_to(cluster):
    """The nodes' timeout is 2 s. Nothing acknowledged is lost, since the replica had it."""
    async with traffic(cluster, 8) as publishing:
        master = await asyncio.to_thread(cluster.master)
        killed = time.monotonic()
        await asyncio.to_thread(master.stop, kill=True)
    pause = publishing.first_after(killed + 0.05)
    _log.info(f"first accepted after {pause:.2f} s")
    assert 1.5 < pause < 8
    await asyncio.to_thread(master.start)
    await asyncio.to_thread(cluster.wait_whole)


async def fill(broker, number):
    """So many keys more in the partition's slot: idempotency keys are one each."""
    for first in range(0, number, 200):
        drafts = [draft("room:filler", str(n), key=f"f/{n}") for n in range(first, first + 200)]
        results = await broker.publish(drafts)
        assert not any(isinstance(result, OpenlineError) for result in results)
