"""Heartbeats of one gateway: they go to a server together, and what happens to one partition is that one's alone."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from services.kernel.broker.redis import beats
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import OpenlineError
from services.kernel.redis.servers import Server
from tests.contract.steps import beat
from tests.support.redis_server import start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server

PARTITIONS = 4


@pytest.fixture(scope="module", params=["redis", "valkey"])
def started(request, tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("server"), flavour=request.param) as running:
        yield running


@asynccontextmanager
async def beating(url, partitions=PARTITIONS, **options):
    """A broker whose incarnation has its leases, and what a round of beats gives: an answer or an error for each partition."""
    broker = RedisBroker(url, partitions=partitions, lease=30.0, **options)

    async def together():
        sent = (beat(broker, "i1", number) for number in range(partitions))
        return await asyncio.gather(*sent, return_exceptions=True)

    try:
        assert not failed(await together())
        yield broker, together
    finally:
        await broker.close()


def failed(answers):
    """The partitions whose beats failed, with what they say."""
    assert all(isinstance(one, OpenlineError) or not one.lost for one in answers)
    return {n: e.message for n, e in enumerate(answers) if isinstance(e, OpenlineError)}


def pipe(broker, number):
    return broker.start.__self__.parts[number].writes._pipe


def beaten(server, partition):
    """When the store last had a beat there, in ms."""
    with server.client() as client:
        return client.zscore(f"ol:{{p{partition}}}:leases", "i1")


def scripts_run(server):
    with server.client() as client:
        return client.info("commandstats")["cmdstat_evalsha"]["calls"]


@pytest.mark.parametrize(("partitions", "scripts"), [(4, 1), (6, 2)])
async def test_beats_of_one_moment_are_one_script_for_every_four_partitions(
    server, partitions, scripts
):
    async with beating(server.url, partitions) as (broker, together):
        before, calls = scripts_run(server), broker.counters.calls["beat"]
        assert not failed(await together())
        assert scripts_run(server) - before == scripts
        assert broker.counters.calls["beat"] - calls == partitions, "metrics count beats"


async def test_an_incarnations_first_beats_go_alone(server):
    """One that was sent twice and came late would make a lease that has ended."""
    async with beating(server.url) as (broker, _):
        before = scripts_run(server)
        await asyncio.gather(*(beat(broker, "i2", number) for number in range(PARTITIONS)))
        assert scripts_run(server) - before == PARTITIONS


async def test_a_partition_that_is_sealed_or_has_moved_is_refused_alone(server):
    async with beating(server.url) as (broker, together):
        with server.client() as client:
            client.hset("ol:{p1}:history", "seal_until", round(time.time() * 1000) + 30_000)
            client.hset("ol:{p2}:history", "seal_until", "moved")
        for _ in range(PARTITIONS):  # whoever carries the others
            before = [beaten(server, number) for number in range(PARTITIONS)]
            said = failed(await together())
            assert sorted(said) == [1, 2]
            assert "handed over" in said[1]
            assert "moved" in said[2]
            assert broker.counters.handovers == {0: False, 1: True, 2: False, 3: False}
            assert all(beaten(server, number) > before[number] for number in (0, 3))
        with server.client() as client:
            client.hdel("ol:{p1}:history", "seal_until")
        assert sorted(failed(await together())) == [2]
        assert not broker.counters.handovers[1]


async def test_a_connection_that_is_lost_is_made_anew_and_costs_nobody_a_beat(server):
    async with beating(server.url) as (broker, together):
        for number in range(PARTITIONS):
            lost = pipe(broker, number)
            with server.client() as client:
                client.client_kill(address(lost))
            await until(lambda lost=lost: lost.ended)
            assert not failed(await together())
            assert pipe(broker, number) is not lost


async def test_a_connection_that_hangs_keeps_only_its_own_partition_waiting(server, monkeypatch):
    """And it is found to hang by the beats that it carries, as one that is used for nothing else."""
    monkeypatch.setattr(beats, "PATIENCE", 0.1)
    async with beating(f"{server.url}?socket_timeout=1") as (broker, together):
        hung = pipe(broker, 2)
        hung._transport.pause_reading()
        ended = asyncio.get_running_loop().time() + 20
        while not hung.ended:
            assert asyncio.get_running_loop().time() < ended
            sent = [asyncio.create_task(beat(broker, "i1", number)) for number in range(4)]
            done, _ = await asyncio.wait([sent[0], sent[1], sent[3]], timeout=0.9)
            assert len(done) == 3, "they waited for what hangs"
            assert not failed(await asyncio.gather(*sent))
        assert not failed(await together())
        assert pipe(broker, 2) is not hung


async def test_databases_of_one_server_are_not_mixed(server):
    servers = [Server(f"redis://127.0.0.1:{server.port}/{n}", (n, n + 2)) for n in (0, 1)]
    broker = RedisBroker(servers, lease=30.0)
    try:
        for _ in range(3):
            sent = (beat(broker, "i1", number) for number in range(PARTITIONS))
            assert not any(one.lost for one in await asyncio.gather(*sent))
        with server.client() as client:
            keys = {key[:7] for key in client.keys("ol:*")}
        assert keys == {b"ol:{p0}", b"ol:{p2}"}
    finally:
        await broker.close()


def address(one):
    """As the server names a connection's other end."""
    host, port = one._transport.get_extra_info("sockname")[:2]
    return f"{host}:{port}"
