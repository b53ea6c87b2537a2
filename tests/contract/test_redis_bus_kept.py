"""Entries that no channel here wants wake their reader together; none of them is lost, and none that is wanted waits."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import RedisError

from services.kernel.broker.redis import answers, bus_reader
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.broker.redis.bus_reader import AHEAD, LULL, WINDOW, BusReader
from services.kernel.redis.connections import Dial
from services.kernel.redis.keys import Keys
from tests.contract.steps import draft, publish
from tests.support.redis_server import start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def broker(server, monkeypatch):
    monkeypatch.setattr(answers, "KEPT", 3600.0)
    with server.client() as client:
        client.flushall()
    broker = RedisBroker(server.url, lease=30.0)
    yield broker
    await broker.close()


@pytest.fixture
async def reader(server):
    reader = BusReader(Dial(server.url), Keys(0).bus, demoted=lambda: None)
    yield reader
    await reader.close()


async def waiting(broker, reader, wanted, take=None):
    """A read of a quiet bus that waits after entry 1, and others ahead of it."""
    await publish(broker, "room:a", "x")
    assert len(await reader.read(0, block=2.0)) == 1
    await until(lambda: asyncio.get_running_loop().time() > reader._sent_at + LULL)
    reading = asyncio.create_task(reader.read(1, block=2.0, wanted=wanted, take=take))
    await until(lambda: reader._sent.due == AHEAD)
    return reading


async def keep(broker, reader, number):
    """Publish what nobody wants until so many entries have come and wait."""
    for kept in range(1, number + 1):
        await publish(broker, "room:a", str(kept))
        await until(lambda kept=kept: len(reader._sent.replies) == kept)


async def test_what_nobody_wants_waits_for_what_somebody_does_and_both_come_in_order(
    broker, reader
):
    reading = await waiting(broker, reader, {"room:wanted"})
    await keep(broker, reader, 3)
    assert not reading.done()
    await publish(broker, "room:wanted", "now")
    found = await reading
    assert [(entry.id, entry.channel) for entry in found] == [
        (2, "room:a"),
        (3, "room:a"),
        (4, "room:a"),
        (5, "room:wanted"),
    ]
    assert reader._sent.due == AHEAD - 4


async def test_entries_of_no_channel_wait_for_nothing(broker, reader):
    reading = await waiting(broker, reader, {"room:wanted"})
    await keep(broker, reader, 2)
    await broker.control(b"{}")
    assert [entry.id for entry in await reading] == [2, 3, 4]


async def test_a_channel_that_comes_to_be_wanted_wakes_the_read_that_waits(broker, reader):
    wanted = set()
    reading = await waiting(broker, reader, wanted)
    await keep(broker, reader, 1)
    wanted.add("room:a")
    await publish(broker, "room:a", "y")
    assert [entry.publication.data for entry in await reading] == [b"1", b"y"]


async def test_no_more_wait_than_there_are_reads_ahead(broker, reader):
    reading = await waiting(broker, reader, {"room:wanted"})
    await keep(broker, reader, AHEAD - 1)
    assert not reading.done()
    await publish(broker, "room:a", "last")
    assert len(await reading) == AHEAD
    assert not reader._sent
    after = asyncio.create_task(reader.read(1 + AHEAD, block=2.0, wanted=set()))
    await until(lambda: reader._sent.due)
    await broker.control(b"{}")
    assert [entry.id for entry in await after] == [2 + AHEAD]


async def test_what_has_waited_long_comes_with_the_next_entry(broker, reader, monkeypatch):
    reading = await waiting(broker, reader, {"room:wanted"})
    await keep(broker, reader, 2)
    monkeypatch.setattr(answers, "KEPT", 0.0)
    await publish(broker, "room:a", "x")
    assert [entry.id for entry in await reading] == [2, 3, 4]


async def test_what_waits_when_the_connection_ends_is_read_again(broker, reader):
    reading = await waiting(broker, reader, {"room:wanted"})
    await keep(broker, reader, 2)
    reader.reset()
    with pytest.raises(RedisError):
        await reading
    assert [entry.id for entry in await reader.read(1, block=2.0)] == [2, 3]


async def test_what_is_wanted_is_handed_over_with_what_waits_and_the_read_goes_on_behind_it(
    broker, reader
):
    taken = []

    def take(batch):
        taken.append((batch.after, batch.to, [entry.channel for entry in batch]))
        return True

    reading = await waiting(broker, reader, {"room:wanted"}, take)
    await keep(broker, reader, 2)
    for _ in range(2):
        await publish(broker, "room:wanted", "now")
    await until(lambda: len(taken) == 2)
    assert taken == [(1, 4, ["room:a", "room:a", "room:wanted"]), (4, 5, ["room:wanted"])]
    assert not reading.done()
    await broker.publish([draft("room:a") for _ in range(AHEAD - 4)])
    rest = await reading
    assert (rest.after, rest.to, len(rest)) == (5, AHEAD + 1, AHEAD - 4)
    after = asyncio.create_task(reader.read(rest.to, block=2.0))
    await publish(broker, "room:a", "next")
    assert [entry.id for entry in await after] == [AHEAD + 2]


async def test_a_read_whose_position_does_not_hold_any_more_ends_at_once(broker, reader):
    taken = []
    reading = await waiting(broker, reader, set(), taken.append)
    await broker.control(b"{}")
    assert not await reading
    assert [[entry.id for entry in batch] for batch in taken] == [[2]]
    assert [entry.id for entry in await reader.read(1, block=2.0)] == [2]


@pytest.mark.parametrize("goes_on", [True, False])
async def test_behind_a_hole_nothing_that_was_sent_ahead_is_used(broker, reader, server, goes_on):
    taken = []

    def take(batch):
        taken.append((batch.after, batch.to))
        return goes_on

    reading = await waiting(broker, reader, set(), take)
    with server.client() as client:
        client.xadd(Keys(0).bus, {"h": "?", "d": ""}, id="0-5")
    assert not await reading
    assert taken == [(4, 5)]
    await publish(broker, "room:a", "x")
    assert [entry.id for entry in await reader.read(5, block=2.0)] == [6]


async def test_where_nothing_is_wanted_what_comes_soon_after_a_read_comes_together(
    broker, reader, monkeypatch
):
    monkeypatch.setattr(bus_reader, "LULL", 1.0)
    await publish(broker, "room:a", "x")
    assert len(await reader.read(0, block=2.0, wanted=set())) == 1
    reading = asyncio.create_task(reader.read(1, block=2.0, wanted=set()))
    await until(lambda: asyncio.get_running_loop().time() > reader._sent_at + 2 * WINDOW)
    for text in ("y", "z"):
        await publish(broker, "room:a", text)
    assert [entry.id for entry in await reading] == [2, 3]


async def test_a_channel_that_comes_to_be_wanted_ends_the_rest(broker, reader, monkeypatch):
    monkeypatch.setattr(bus_reader, "LULL", 3600.0)
    await publish(broker, "room:a", "x")
    assert len(await reader.read(0, block=2.0, wanted=set())) == 1
    reading = asyncio.create_task(reader.read(1, block=2.0, wanted=set()))
    await asyncio.sleep(0)
    await publish(broker, "room:a", "y")
    assert not reading.done()
    reader.read_now()
    assert [entry.id for entry in await reading] == [2]


async def test_a_read_of_somebody_who_wants_a_channel_rests_for_the_window_alone(
    broker, reader, monkeypatch
):
    monkeypatch.setattr(bus_reader, "LULL", 3600.0)
    for number, wanted in enumerate([set(), {"room:wanted"}, None]):
        await publish(broker, "room:a", "x")
        assert len(await reader.read(number, block=2.0, wanted=wanted)) == 1


async def test_a_reader_that_is_behind_does_not_rest_where_nothing_is_wanted(
    broker, reader, monkeypatch
):
    monkeypatch.setattr(bus_reader, "LULL", 3600.0)
    monkeypatch.setattr(bus_reader, "MOST", 3)
    await broker.publish([draft("room:a") for _ in range(7)])
    read = [await reader.read(after, block=2.0, wanted=set()) for after in (0, 3, 6)]
    assert [batch.to for batch in read] == [3, 6, 7]
