"""The driver of a partition: it reads, beats and carries out, through outages and failures of its own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
import uvloop
from prometheus_client import CollectorRegistry

from services.gateway.hub.hub import Hub
from services.gateway.hub.port import ReconnectCall
from services.gateway.metrics import Metrics
from services.gateway.node.partition import BEAT_SECONDS, GATHER, READ_SECONDS, PartitionWorker
from services.gateway.node.turn import Turn
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import (
    PAGE,
    QUIET_CANARY_SECONDS,
    Batch,
    Beat,
    Beaten,
    Draft,
    Entry,
    EntryType,
)
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from tests.support.waiting import until


class Listener:
    """An audience that notes what it was told."""

    def __init__(self):
        self.told = []
        self.fails = False

    def deliver(self, publication):
        if self.fails:
            self.fails = False
            raise ValueError("a bug")
        self.told.append(publication.offset)

    def reset(self, epoch, offset, *, began, reason):
        self.told.append("reset")

    def add(self, subscriber, joined):
        self.told.append("joined")

    def remove(self, subscriber): ...
    def signal(self, entry): ...

    def refuse(self, subscriber, error):
        self.told.append("refused")


class Reconnecting(MemoryBroker):
    """Counts how often its connections were dropped; waits but shortly for news."""

    dropped = 0

    async def read(self, partition, after, *, block, wanted=None, take=None):
        return await super().read(
            partition, after, block=min(block, 0.01), wanted=wanted, take=take
        )

    async def reconnect(self, partition):
        self.dropped += 1


@asynccontextmanager
async def running():
    broker, listener, beaten = Reconnecting(), Listener(), []
    sink = SimpleNamespace(
        audience=lambda channel: listener,
        control=lambda entry: None,
        canary=lambda entry, now: None,
        resynced=lambda now: None,
    )
    worker = PartitionWorker(
        0,
        Hub(sink, new_epoch=lambda: "e"),
        broker,
        beat=lambda: Beat(incarnation="i", node=b"{}"),
        on_acknowledged=lambda partition, beat, reply: beaten.append((beat, reply)),
        metrics=Metrics(CollectorRegistry()),
        turn=Turn(asyncio.get_running_loop().call_soon),
    )
    task = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(worker.started.wait(), 5)
        yield SimpleNamespace(
            worker=worker, broker=broker, told=listener.told, listener=listener, beaten=beaten
        )
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        worker.close()
        await asyncio.sleep(0)


@pytest.fixture
async def at():
    async with running() as at:
        yield at


async def join(at):
    now = asyncio.get_running_loop().time()
    at.worker.hub.subscribe("room:a", "bob", since=None, last=0, now=now)
    at.worker.pump()
    at.worker.pump()
    await until(lambda: "joined" in at.told)


async def publish(at):
    (result,) = await at.broker.publish([Draft(channel="room:a", data=b"1", meta=b'"ts":1')])
    return result.offset


async def test_what_the_bus_brings_is_told(at):
    await join(at)
    await publish(at)
    await publish(at)
    await until(lambda: at.told == ["joined", 1, 2])


def test_a_read_waits_longer_than_the_canaries_of_a_quiet_bus_are_apart():
    """Each read that ends without an entry wakes the store once more."""
    assert READ_SECONDS > QUIET_CANARY_SECONDS + 2 * BEAT_SECONDS


async def test_each_beat_is_told_with_its_reply(at):
    await until(lambda: len(at.beaten) > 1)
    beat, reply = at.beaten[-1]
    assert beat.incarnation == "i"
    assert not reply.lost
    assert reply.bus >= 1
    assert at.worker.beaten_at >= at.worker.beat_sent_at > 0


async def test_an_outage_is_waited_out_and_nothing_is_missed(at):
    await join(at)
    at.broker.down = True
    await asyncio.sleep(3)
    at.broker.down = False
    await publish(at)
    await until(lambda: at.told == ["joined", 1])


async def test_looks_that_fail_are_made_again(at):
    at.broker.down = True
    now = asyncio.get_running_loop().time()
    at.worker.hub.subscribe("room:a", "bob", since=None, last=0, now=now)
    at.worker.pump()
    await asyncio.sleep(0.02)
    at.broker.down = False
    await until(lambda: at.told == ["joined"])


async def test_an_audience_that_fails_does_not_stop_the_line(at):
    await join(at)
    at.listener.fails = True
    await publish(at)
    await publish(at)
    await until(lambda: at.told == ["joined", 2])


async def test_a_store_that_has_lost_everything_is_told_by_a_reset(at):
    await join(at)
    await publish(at)
    await until(lambda: at.told[-1] == 1)
    at.broker.flush()
    await until(lambda: "reset" in at.told)
    assert at.broker.dropped >= 1


async def test_connections_are_dropped_when_asked_for(at):
    at.worker.reconnect()
    await until(lambda: at.broker.dropped == 1)

    async def away(partition):
        raise OpenlineError(Code.UNAVAILABLE, "away")

    at.broker.reconnect = away
    await at.worker._carry_out(ReconnectCall())
    assert at.worker.hub.following


async def test_what_was_read_before_the_position_was_taken_anew_is_void(at):
    await join(at)
    hub, broker = at.worker.hub, at.broker
    generation, released = hub.generation, asyncio.Event()
    read, stale = broker.read, []

    async def late(partition, after, *, block, wanted=None, take=None):
        broker.read = read
        await released.wait()
        next_one = Publication(epoch=hub.position("room:a").epoch, offset=1, data=b"1", meta=b"")
        stale.append(hub.bus_position + 1)
        return Batch.of(0, [Entry(stale[0], EntryType.MESSAGE, "room:a", next_one)])

    broker.read = late
    await until(lambda: broker.read is read)
    hub.beaten(Beaten(history="another", bus=99), hub.bus_position, hub._now)
    at.worker.pump()
    await until(lambda: hub.following and hub.generation > generation)
    released.set()
    for _ in range(2):
        await broker.control(b"{}")
    await until(lambda: stale and hub.bus_position > stale[0])
    assert at.told == ["joined"]


async def test_the_first_channel_that_is_wanted_ends_the_rest_of_the_read_and_the_next_does_not(at):
    told, wanted = [], []
    at.broker.read_now = told.append
    read = at.broker.read

    async def reading(partition, after, **options):
        wanted.append(len(options["wanted"]))
        return await read(partition, after, **options)

    at.broker.read = reading
    await until(lambda: wanted)
    await join(at)
    await until(lambda: wanted[-1])
    at.worker.pump()
    assert told == [0]


async def test_new_connections_are_followed_by_a_beat(at):
    await until(lambda: at.beaten)
    before, now = len(at.beaten), asyncio.get_running_loop().time
    began = now()
    at.worker.reconnect()
    await until(lambda: len(at.beaten) > before)
    assert now() - began < BEAT_SECONDS / 2


async def test_a_beat_may_be_hurried(at):
    await until(lambda: at.beaten)
    before, now = len(at.beaten), asyncio.get_running_loop().time
    began = now()
    at.worker.hurry()
    await until(lambda: len(at.beaten) > before)
    assert now() - began < BEAT_SECONDS / 2


async def test_workers_that_began_at_different_times_beat_together(at):
    now, worker = asyncio.get_running_loop().time, at.worker
    await until(lambda: BEAT_SECONDS / 4 < now() - worker.beat_sent_at < BEAT_SECONDS / 2)
    async with running() as other:
        await until(
            lambda: abs(worker.beat_sent_at - other.worker.beat_sent_at) < BEAT_SECONDS / 10
        )


async def test_what_is_due_is_done_and_an_earlier_time_comes_first(at):
    worker, loop = at.worker, asyncio.get_running_loop()
    await join(at)
    worker.hub.unsubscribe("room:a", "bob", loop.time())
    worker._arm()
    first = worker._timer
    assert first is not None  # when the lingering channel is dropped
    worker._arm()
    assert worker._timer is first
    worker.hub.tick(loop.time() + 3600)
    worker._arm()
    assert worker._timer is None
    worker._tick()


def test_what_is_overdue_when_it_is_armed_is_done_on_the_gateways_own_loop():
    async def overdue():
        async with running() as at:
            await join(at)
            at.worker.hub.unsubscribe("room:a", "bob", asyncio.get_running_loop().time() - 3600)
            at.worker._arm()
            at.worker._arm()
            await until(lambda: at.worker.hub.position("room:a") is None)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(overdue())


async def test_who_come_in_a_rush_share_calls(at):
    await join(at)
    looks = []
    look = at.worker._broker.look
    at.worker._broker.look = lambda partition, wanted: (
        looks.append(wanted),
        look(partition, wanted),
    )[1]
    at.worker._called_at = asyncio.get_running_loop().time()
    for number in range(3):
        at.worker.hub.subscribe(f"room:{number}", "amy", now=asyncio.get_running_loop().time())
        at.worker.pump()
        await asyncio.sleep(GATHER / 4)
    assert looks == []
    await until(lambda: at.told.count("joined") == 4)
    assert len(looks[0]) == 3


async def test_who_come_while_a_look_is_under_way_share_the_next(at):
    rooms = [f"room:{number}" for number in range(3)]
    await at.broker.publish([Draft(channel=name, data=b"1", meta=b'"ts":1') for name in rooms])
    loop, look = asyncio.get_running_loop(), at.worker._broker.look
    asked = []

    async def coming(partition, looks):
        if not asked:
            for name in rooms[1:]:
                at.worker.hub.subscribe(name, "amy", now=loop.time())
        asked.append((loop.time(), [look.channel for look in looks]))
        return await look(partition, looks)

    at.worker._broker.look = coming
    at.worker.hub.subscribe(rooms[0], "amy", now=loop.time())
    at.worker.pump()
    await until(lambda: at.told.count("joined") == len(rooms))
    (first, one), (second, others) = asked
    assert (one, others) == (rooms[:1], rooms[1:])
    assert second - first >= 0.99 * GATHER


async def test_the_next_page_waits_for_nobody(at):
    drafts = [Draft(channel="room:1", data=b"1", meta=b'"ts":1') for _ in range(2 * PAGE + 1)]
    stored = await at.broker.publish(drafts)
    at.worker.hub.subscribe(
        "room:1", "amy", since=Position(stored[0].epoch, 0), now=asyncio.get_running_loop().time()
    )
    waits = []
    at.worker.pump = lambda: waits.append("after a page")
    at.worker._pump()
    await until(lambda: "joined" in at.told)
    assert waits == []


async def test_who_begins_a_channel_waits_for_nobody(at):
    """The first look finds no head, the second makes it."""
    look, looks, waits = at.worker._broker.look, [], []

    async def counted(partition, wanted):
        looks.extend(wanted)
        return await look(partition, wanted)

    at.worker._broker.look = counted
    at.worker.pump = lambda: waits.append(len(looks))
    at.worker.hub.subscribe("room:new", "amy", now=asyncio.get_running_loop().time())
    at.worker._pump()
    await until(lambda: "joined" in at.told and waits)
    assert waits[0] == 2


async def test_closing_forgets_what_is_under_way(at):
    await join(at)
    at.worker.hub.unsubscribe("room:a", "bob", asyncio.get_running_loop().time())
    at.worker._arm()
    at.worker._calls.spawn(asyncio.sleep(60))
    at.worker.close()
    await until(lambda: not at.worker._calls)
    assert at.worker._timer.cancelled()


async def test_until_a_beat_has_told_a_position_nothing_is_read():
    broker = MemoryBroker()
    broker.down = True
    sink = SimpleNamespace(resynced=lambda now: None)
    worker = PartitionWorker(
        0,
        Hub(sink, new_epoch=lambda: "e"),
        broker,
        beat=lambda: Beat(incarnation="i", node=b"{}"),
        on_acknowledged=lambda partition, beat, reply: None,
        metrics=Metrics(CollectorRegistry()),
        turn=Turn(asyncio.get_running_loop().call_soon),
    )
    task = asyncio.create_task(worker.run())
    await asyncio.sleep(0.05)
    assert "read" not in broker.counters.calls
    assert not worker.started.is_set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    worker.close()


async def test_what_is_put_off_while_entries_are_delivered_is_done_before_they_are_taken(at):
    await join(at)
    hub, done = at.worker.hub, []
    at.listener.deliver = lambda publication: at.worker._turn.soon(
        lambda: done.append(publication.offset)
    )
    following = [
        Publication(epoch=hub.position("room:a").epoch, offset=offset, data=b"1", meta=b"")
        for offset in (1, 2)
    ]
    batch = Batch.of(
        hub.bus_position,
        [
            Entry(hub.bus_position + number, EntryType.MESSAGE, "room:a", publication)
            for number, publication in enumerate(following, 1)
        ],
    )
    assert at.worker._take(hub.generation, batch)
    assert done == [1, 2]
    assert not at.worker._take(hub.generation - 1, batch)


async def test_the_next_message_of_a_live_channel_gives_the_driver_nothing_to_do(at):
    await join(at)
    hub, now = at.worker.hub, asyncio.get_running_loop().time()
    epoch = hub.position("room:a").epoch

    def tells(type, offset=0):
        publication = Publication(epoch=epoch, offset=offset, data=b"1", meta=b"")
        channel = "room:a" if offset else ""
        entry = Entry(hub.bus_position + 1, type, channel, publication)
        return hub.entries(hub.generation, Batch.of(hub.bus_position, [entry]), now)

    assert not tells(EntryType.MESSAGE, 1)
    assert tells(EntryType.CONTROL)
    assert tells(EntryType.MESSAGE, 3)
    assert hub.effects()
