"""Planned work under traffic: a server restarts, or a replica takes over, and nothing is lost and no channel begins anew."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import time
from contextlib import asynccontextmanager

import pytest

from services.handover import failover
from services.handover.handover import Handover
from services.handover.masters import RefusedError, masters
from services.kernel.broker.redis import seals
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.broker.redis.partitions import Options, Partitions
from services.kernel.redis.access import Access
from services.kernel.redis.keys import Keys
from services.kernel.redis.servers import single
from tests.contract.steps import beat, draft, publish_one
from tests.support import handover_command
from tests.support.keyed_publishing import KeyedPublishing, lost
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import start_redis
from tests.support.sentinel_group import SentinelGroup, until

_log = logging.getLogger(__name__)

pytestmark = [pytest.mark.server, pytest.mark.slow]

RATE = 200
ROOMS = [f"room:{n}" for n in range(20)]
MOST = 4.0
"""Seconds without a publish on a busy machine; what the tool itself says is measured more closely."""


async def handover(url, *arguments) -> tuple[int, str]:
    """What the command line does: exit status, and what it said."""
    status, said = await handover_command.handover(
        *arguments, environment={"OPENLINE_REDIS_URL": url}
    )
    _log.info(said)
    return status, said


@asynccontextmanager
async def traffic(url):
    """Publishes with keys while the body runs and a second longer; afterwards nothing is lost, and all is as it was."""
    broker = RedisBroker(url, lease=30.0)
    publishing = KeyedPublishing(broker, rate=RATE)
    try:
        await broker.start()
        history = (await beat(broker, "i1")).history
        running = asyncio.create_task(publishing.run(60))
        await asyncio.sleep(1)
        yield
        await asyncio.sleep(1)
        publishing.done = True
        await running
        gone, _ = await lost(broker, publishing.acknowledged)
        pause = publishing.longest_pause()
        _log.info(
            f"refused {publishing.refused} of {len(publishing.acknowledged)}, longest pause {pause:.2f} s,"
            f" lost {len(gone)}"
        )
        assert gone == []
        epochs = {(channel, epoch) for channel, epoch, _ in publishing.acknowledged.values()}
        assert len(epochs) == len({channel for channel, _ in epochs}), "a channel began anew"
        beaten = await beat(broker, "i1")
        assert (beaten.history, beaten.lost) == (history, False)
        assert pause < MOST
    finally:
        await broker.close()


def refused_ms(said: str) -> int:
    """For how long the tool says that writers were refused."""
    found = re.search(r"refused for (\d+) ms, no reader is reset", said)
    assert found, said
    return int(found[1])


@pytest.mark.alone
async def test_sentinels_promote_a_replica_and_nobody_is_told(tmp_path):
    with SentinelGroup(tmp_path) as group:
        former = group.master()
        async with traffic(group.url):
            status, said = await handover(group.url, "failover")
            assert status == 0, said
        assert refused_ms(said) < MOST * 1000
        assert group.master() is not former


@pytest.mark.alone
async def test_a_replica_that_sentinels_take_for_a_master_is_not_promoted_before_they_know_better(
    tmp_path, monkeypatch
):
    """It would be made to follow again, with what it took meanwhile."""
    with SentinelGroup(tmp_path, replicas=1) as group:
        former = group.master()
        (replica,) = (one for one in group.servers if one is not former)
        group.mistake(replica)
        redis = Partitions(single(group.url, 1), options=Options())
        (master,) = await masters(redis, single(group.url, 1))
        await redis.close()
        monkeypatch.setattr(failover, "NEWS", 0.0)
        with pytest.raises(RefusedError, match="and would have it follow again"):
            await failover.until_agreed(master, Access(), _log.info)
        async with traffic(group.url):
            status, said = await handover(group.url, "failover")
            assert status == 0, said
        assert f"takes replica 127.0.0.1:{replica.port} for a master: waiting" in said
        assert group.master() is replica


@pytest.mark.alone
async def test_a_replica_in_a_cluster_takes_over_and_nobody_is_told(tmp_path):
    with RedisCluster(tmp_path, flavour="valkey", replicas=1) as cluster:
        former = cluster.master()
        async with traffic(cluster.url):
            status, said = await handover(cluster.url, "failover")
            assert status == 0, said
        assert refused_ms(said) < MOST * 1000
        assert cluster.master() is not former


async def test_a_server_restarts_with_its_file_and_nobody_is_told(tmp_path):
    """This test keeps it running, as a supervisor does. What cannot be done changes nothing."""
    with start_redis(tmp_path, "--appendonly", "yes") as server:
        async with traffic(server.url):
            shutting_down = asyncio.create_task(handover(server.url, "restart", "--shutdown"))
            while server.process.poll() is None:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            server.start()
            status, said = await shutting_down
            assert status == 0, said
            assert refused_ms(said) < MOST * 1000
            status, said = await handover(server.url, "restart", "--", "false")
            assert status == 1
            assert "nothing has changed" in said
            assert "false ended with status 1" in said
            slow = ("restart", "--seconds", "1", "--", "sleep", "30")
            status, said = await handover(server.url, *slow)
            assert status == 1
            assert "nothing has changed" in said
            assert "sleep has not ended in time: give more time with --seconds" in said
            status, said = await handover(server.url, "failover")
            assert (status, "use restart" in said) == (1, True)


@asynccontextmanager
async def work_at(url, partitions=4):
    """A handover of all that is there, and what publishes to each partition."""
    broker = RedisBroker(url, partitions=partitions)
    redis = Partitions(single(url, partitions), options=Options())
    try:
        first = [await publish_one(broker, draft(name)) for name in ROOMS]
        (master,) = await masters(redis, single(url, partitions))
        assert master.partitions == tuple(range(partitions))
        said = []
        yield Handover(redis, master, seconds=4, say=said.append), said
        after = [await publish_one(broker, draft(name)) for name in ROOMS]
        assert [one.epoch for one in after] == [one.epoch for one in first]
        assert {one.offset for one in after} == {2}
    finally:
        await redis.close()
        await broker.close()


async def test_a_replica_that_lags_is_not_waited_for_and_nothing_changes(tmp_path):
    options = ("--appendonly", "yes", "--repl-diskless-sync-delay", "0")
    with start_redis(tmp_path, *options) as server, start_redis(tmp_path, *options) as replica:
        with server.client() as here, replica.client() as there:
            there.replicaof("127.0.0.1", server.port)
            until(lambda: here.info("replication").get("slave0", {}).get("state") == "online")
        async with work_at(server.url) as (handover, said):
            replica.pause()
            with pytest.raises(
                RefusedError, match=r"only 0 of 1 replicas had everything after [01]\.\d s"
            ):
                await handover.run(Handover.copied)
            replica.resume()
            assert said[-1] == "unsealed partitions 0-3 where it was: nothing has changed"


async def test_who_interrupts_a_handover_leaves_all_as_it_was(tmp_path):
    with start_redis(tmp_path, "--appendonly", "yes") as server:
        async with work_at(server.url) as (handover, said):
            begun = asyncio.Event()

            async def work(_) -> str:
                begun.set()
                await asyncio.Event().wait()
                return ""

            running = asyncio.create_task(handover.run(work))
            await begun.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert said[-1] == "unsealed partitions 0-3 where it was: nothing has changed"


async def test_a_tool_that_is_ended_leaves_no_seal_behind(tmp_path):
    with start_redis(tmp_path, "--appendonly", "yes") as server:
        environment = {"OPENLINE_REDIS_URL": server.url}
        restart = ("restart", "--seconds", "30", "--", "sleep", "60")
        async with handover_command.started(*restart, environment=environment) as process:
            assert process.stdout is not None
            assert b"sealed" in await process.stdout.readline()
            assert b"running sleep" in await process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            said, _ = await process.communicate()
        assert process.returncode == 1
        assert b"nothing has changed" in said
        assert said.endswith(b"interrupted\n")
        assert await handover(server.url, "status") == (0, "partition 0: no handover\n")


async def test_an_open_handover_is_shown_and_broken(tmp_path):
    with start_redis(tmp_path, "--appendonly", "yes") as server:
        assert await handover(server.url, "status") == (0, "partition 0: no handover\n")
        status, said = await handover(server.url, "break")
        assert (status, said) == (1, "no handover is open: there is nothing to break\n")
        broker = RedisBroker(server.url)
        redis = Partitions(single(server.url, 1), options=Options())
        try:
            first = await publish_one(broker, draft("room:a"))
            begun = time.monotonic()
            await seals.seal(redis, 0, seconds=60)
            status, said = await handover(server.url, "status")
            left = re.fullmatch(r"partition 0: sealed for (\d+\.\d) s more\n", said)
            assert left, said
            assert 59.9 - (time.monotonic() - begun) < float(left[1]) <= 60
            with server.client() as client:  # commands may take long to start
                client.hset(Keys(0).record, "seal_until", round(time.time() * 1000) + 59_000)
            status, said = await handover(server.url, "restart", "--", "true")
            assert (status, "cannot seal partition 0" in said) == (1, True)
            status, said = await handover(server.url, "break")
            assert (status, said) == (
                0,
                "broken partition 0: writers go on, and readers get a reset\n",
            )
            assert (await publish_one(broker, draft("room:a"))).epoch != first.epoch
        finally:
            await redis.close()
            await broker.close()
