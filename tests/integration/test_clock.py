"""A server's clock that is set back or forward neither reorders nor ends anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from services.kernel.broker.port import Broker
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.positions import Position
from tests.contract.steps import beat, look, member, publish, texts
from tests.support.redis_server import start_redis

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
LEASE = 0.6
"""Seconds; tests that wait for no lease's end have a longer one."""


async def present(broker: Broker) -> int:
    return (await broker.members("room:a", cursor=None, limit=9)).count


async def expired(broker: Broker, *, survivor: str) -> tuple[str, ...]:
    """Who is found dead while another goes on beating; a pause of a busy machine only delays that."""
    for _ in range(100):
        await asyncio.sleep(0.1)
        if found := (await beat(broker, survivor)).expired:
            return found
    return ()


@pytest.fixture
async def clocked(tmp_path, monkeypatch, request):
    """A broker on a Valkey server, and how to set that server's clock (Debian's Redis does not start under libfaketime)."""
    if LIBRARY is None:
        pytest.skip("libfaketime is not installed (Debian: faketime)")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    monkeypatch.setenv("LD_PRELOAD", str(LIBRARY))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(clock))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    with start_redis(tmp_path, flavour="valkey") as server:
        monkeypatch.undo()
        broker = RedisBroker(server.url, lease=getattr(request, "param", 30.0))
        await broker.start()
        yield broker, clock.write_text
        await broker.close()


@pytest.mark.parametrize("step", ["-1h", "+1h"])
async def test_a_clock_that_jumps_changes_no_order(clocked, step):
    broker, set_clock = clocked
    stored = await publish(broker, "room:a", "1", "2")
    set_clock(step)
    more = await publish(broker, "room:a", "3")
    assert [p.offset for p in (*stored, *more)] == [1, 2, 3]
    assert more[0].epoch == stored[0].epoch
    assert [entry.id for entry in await broker.read(0, 0)] == [1, 2, 3]
    looked = await look(broker, "room:a", since=(Position(stored[0].epoch, 1),))
    assert texts(looked.publications) == ["2", "3"]


@pytest.mark.parametrize("step", ["-1h", "+1h"])
async def test_a_clock_that_jumps_ends_no_living_lease(clocked, step):
    broker, set_clock = clocked
    await beat(broker, "i1")
    await beat(broker, "i2")
    await broker.enter("room:a", member("c1"), "i1", announce=True)
    set_clock(step)
    assert (await beat(broker, "i2")).expired == ()
    assert not await broker.reap(0, "i1")
    assert not (await beat(broker, "i1")).lost
    assert await present(broker) == 1


@pytest.mark.parametrize("clocked", [LEASE], indirect=True)
@pytest.mark.parametrize("step", ["-1h", "+1h"])
async def test_after_a_jump_the_dead_are_still_found(clocked, step):
    broker, set_clock = clocked
    await beat(broker, "dead")
    await broker.enter("room:a", member("c1"), "dead", announce=True)
    await beat(broker, "i1")
    set_clock(step)
    assert await expired(broker, survivor="i1") == ("dead",)
    assert not await broker.reap(0, "dead")
    assert await present(broker) == 0


@pytest.mark.parametrize("flavour", ["redis", "valkey"])
async def test_stamps_ahead_of_the_clock_count_as_now(tmp_path, flavour):
    """What a clock that was set back leaves behind: leases and buckets stamped an hour ahead."""
    with start_redis(tmp_path, flavour=flavour) as server, server.client() as client:
        broker = RedisBroker(server.url, lease=LEASE)
        await broker.start()
        await beat(broker, "dead")
        await broker.enter("room:a", member("c1"), "dead", announce=True)
        await broker.spend({"bob": 5}, rate=10, burst=10)
        for name, at in client.zrange("ol:{p0}:leases", 0, -1, withscores=True):
            client.zadd("ol:{p0}:leases", {name: at + 3_600_000})
        ahead = int(client.hget("ol:{p0}:bucket:bob", "at")) + 3_600_000
        client.hset("ol:{p0}:bucket:bob", "at", ahead)
        assert (await broker.spend({"bob": 0}, rate=10, burst=10))["bob"] == pytest.approx(5)
        await asyncio.sleep(0.2)
        assert (await broker.spend({"bob": 0}, rate=10, burst=10))["bob"] > 5
        assert await expired(broker, survivor="i1") == ("dead",)
        await broker.close()
