"""The whole system on a cluster whose masters change: its clients keep their sockets and miss nothing unflagged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.kernel.redis.keys import partition
from tests.support.people import People
from tests.support.redis_cluster import RedisCluster, command
from tests.support.stack import Stack
from tests.support.traffic import under_traffic

pytestmark = pytest.mark.slow

PARTITIONS = 4


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three masters, each with a replica."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), replicas=1) as running:
        yield running


@pytest.fixture(scope="module")
def system(cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything else."""
    settings = {"OPENLINE_REDIS_URL": cluster.url, "OPENLINE_PARTITIONS": str(PARTITIONS)}
    with Stack(tmp_path_factory.mktemp("stack"), **settings) as running:
        yield running


@pytest.fixture
async def people(system: Stack) -> AsyncIterator[People]:
    """Who talks to it."""
    async with People(system.run) as talking:
        yield talking


async def test_nothing_is_missed_unflagged_when_a_slot_moves_and_a_master_dies(
    system: Stack, cluster: RedisCluster, people: People
) -> None:
    async with under_traffic(people, seconds=14, before=1) as (_, channel, _):
        key = f"{{p{partition(channel, PARTITIONS)}}}"
        await asyncio.to_thread(cluster.move, key, cluster.another_master(key))
        await asyncio.sleep(2)
        command(await asyncio.to_thread(cluster.replica, key), "CLUSTER", "FAILOVER")
        await asyncio.sleep(2)
        master = await asyncio.to_thread(cluster.master, key)
        await asyncio.to_thread(master.stop, kill=True)

    token = await people.token("alice")
    answer = await people.http.post("/auth/tickets", headers={"authorization": f"Bearer {token}"})
    assert answer.is_success
    for service in ("gateway-1", "gateway-2", "publisher"):
        assert system.log(service).count("master_moved") >= 3, service
