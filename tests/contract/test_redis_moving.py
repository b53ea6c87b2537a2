"""A partition moves to another server while services use it: nothing is lost, nobody is reset, and the old one is closed."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from services.handover.copying import Copy
from services.handover.masters import RefusedError
from services.handover.move import Move
from services.kernel.broker.port import Member, Published
from services.kernel.broker.redis import seals
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.broker.redis.partitions import Options, Partitions
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.keys import Keys
from services.kernel.redis.servers import Server
from tests.contract.steps import beat, draft, head, look, publish, publish_one
from tests.support.redis_server import start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server

KEYS = Keys(1)


class Map:
    """A partition, of two, is at the first or the second server; `file` is what services read of it."""

    def __init__(self, folder, number=1, flavours=("redis", "valkey")):
        aof = ("--appendonly", "yes")
        self.number = number
        self.servers = [start_redis(folder, *aof, flavour=flavour) for flavour in flavours]
        self.before = (Server(self.servers[0].url, (0, 1)),)
        self.after = (
            Server(self.servers[0].url, (1 - number,)),
            Server(self.servers[1].url, (number,)),
        )
        self.file = self.before

    def stop(self):
        for server in self.servers:
            server.stop(kill=True)

    def empty(self):
        self.file = self.before
        for server in self.servers:
            with server.client() as client:
                client.flushall()

    async def install(self):
        self.file = self.after

    def services(self, where=None):
        return RedisBroker(where or self.before, reread=lambda: self.file, lease=30.0)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Map(tmp_path_factory.mktemp("moving"))
    yield found
    found.stop()


@asynccontextmanager
async def moving(at, *, before=None, after=None, seconds=30.0):
    said = []
    async with AsyncExitStack() as stack:
        stores = [
            Partitions(m, options=Options()) for m in (before or at.before, after or at.after)
        ]
        for store in stores:
            stack.push_async_callback(store.close)
        source, target = stores
        yield Move(at.number, source=source, target=target, seconds=seconds, say=said.append), said


async def move(at, **options):
    async with moving(at, **options) as (it, said):
        await it.run(at.install)
        return said


async def refusal(at, **options) -> str:
    with pytest.raises((RefusedError, ConfigurationError)) as caught:
        await move(at, **options)
    return str(caught.value)


@asynccontextmanager
async def service(at, where=None):
    broker = at.services(where)
    try:
        await broker.start()
        yield broker
    finally:
        await broker.close()


def channels(broker, number):
    """Names of channels that live in partition 1."""
    found = (name for n in range(9 * number) if broker.partition(name := f"room:{n}") == 1)
    return [next(found) for _ in range(number)]


async def test_under_publishes_nothing_is_lost_and_no_reader_is_reset(at):
    async with service(at) as writer, service(at) as reader:
        names = channels(writer, 30)
        await beat(reader, "i1", 1)
        member = Member(user="amy", connection="c1")
        await reader.enter(names[0], member, "i1", announce=True)
        await reader.listeners("i1", {names[0]: 3})
        begun = {name: await publish_one(writer, draft(name, "0")) for name in names}
        position, bus = (await head(reader, names[0])).bus, []
        acknowledged, refused, done = [], 0, asyncio.Event()

        async def write():
            nonlocal refused
            number = 0
            while not done.is_set():
                number += 1
                name = names[number % len(names)]
                (result,) = await writer.publish([draft(name, str(number), key=f"k/{number}")])
                if isinstance(result, Published):
                    acknowledged.append((name, result.epoch, result.offset, str(number)))
                else:
                    refused += 1
                await asyncio.sleep(0.002)

        async def read():
            after = position
            while True:
                with suppress(OpenlineError):
                    found = await reader.read(1, after, block=0.2)
                    bus.extend(found)
                    after = found[-1].id if found else after
                    if done.is_set() and not found:
                        return

        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(read())
            await asyncio.sleep(0.3)
            said = await move(at)
            before = len(acknowledged)
            async with asyncio.timeout(30):
                while len(acknowledged) < before + 100:  # noqa: ASYNC110 - each turn asks
                    await asyncio.sleep(0.01)
            done.set()

        assert refused < 500, said
        assert [entry.id for entry in bus] == list(range(position + 1, position + 1 + len(bus)))
        heard = [
            (e.channel, e.publication.epoch, e.publication.offset, e.publication.data.decode())
            for e in bus
            if e.publication is not None
        ]
        assert heard == acknowledged
        assert {epoch for name, epoch, _, _ in heard} == {one.epoch for one in begun.values()}
        again = await writer.publish([draft(acknowledged[0][0], "x", key="k/1")])
        assert again[0].duplicate, "keys of messages went with it"
        assert not (await beat(reader, "i1", 1)).lost
        assert (await reader.members(names[0], cursor=None, limit=9)).count == 1
        assert await reader.subscribers([names[0]]) == [3]
        with at.servers[0].client() as client:
            assert sorted(client.keys(KEYS.every)) == sorted(
                [KEYS.home.encode(), KEYS.record.encode()]
            )
        with at.servers[1].client() as client:
            assert client.hget(KEYS.home, "state") is None


async def test_who_only_reads_follows_too(at):
    async with service(at) as writer, service(at) as reader:
        (name,) = channels(writer, 1)
        await beat(writer, "i1", 1)
        await writer.enter(name, Member(user="amy", connection="c1"), "i1", announce=True)
        assert (await reader.members(name, cursor=None, limit=9)).count == 1
        await move(at)
        assert (await reader.members(name, cursor=None, limit=9)).count == 1


async def test_whoever_has_the_former_map_is_refused_for_ever(at):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        await publish(writer, name, "1")
        await move(at)
        at.file = at.before
        with pytest.raises(ConfigurationError, match="partition 1 has moved to another server"):
            async with service(at):
                pass
        async with service(at, at.after) as other:
            assert [p.data for p in (await look(other, name, last=5)).publications] == [b"1"]


async def test_until_every_service_has_the_new_map_it_is_refused_and_then_goes_on(at):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        (first,) = await publish(writer, name, "1")
        async with moving(at) as (it, _):
            await it.run(lambda: asyncio.sleep(0))
        (refused,) = await writer.publish([draft(name, "2")])
        assert "has moved to another server" in refused.message
        at.file = at.after
        (second,) = await publish(writer, name, "2")
        assert (second.epoch, second.offset) == (first.epoch, 2)


@pytest.mark.parametrize("fault", ["carry_bus", "compare"])
async def test_what_fails_before_the_switch_changes_nothing_and_can_be_run_again(
    at, monkeypatch, fault
):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        (first,) = await publish(writer, name, "1")

        async def lose(_):
            raise ConnectionResetError("the new server has gone")

        with monkeypatch.context() as patched:
            patched.setattr(Copy, fault, lose)
            assert "cannot be reached" in await refusal(at)
        (second,) = await publish(writer, name, "2")
        assert (second.epoch, second.offset) == (first.epoch, 2)
        with pytest.raises(ConfigurationError, match="has not arrived at its new server"):
            async with service(at, at.after):
                pass
        await move(at)
        (third,) = await publish(writer, name, "3")
        assert (third.epoch, third.offset) == (first.epoch, 3)


async def test_what_takes_too_long_changes_nothing(at, monkeypatch):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        (first,) = await publish(writer, name, "1")

        async def hang(_):
            await asyncio.sleep(60)

        monkeypatch.setattr(Copy, "compare", hang)
        assert "took longer than 1 s" in await refusal(at, seconds=1.0)
        (second,) = await publish(writer, name, "2")
        assert (second.epoch, second.offset) == (first.epoch, 2)


async def test_with_a_replica_that_is_behind_nothing_is_given_up(at, tmp_path):
    old = at.servers[0]
    with start_redis(tmp_path, "--replicaof", "127.0.0.1", str(old.port)) as replica:
        with old.client() as client:
            await until(
                lambda: client.info("replication").get("slave0", {}).get("state") == "online"
            )
        async with service(at) as writer:
            (name,) = channels(writer, 1)
            (first,) = await publish(writer, name, "1")
            replica.process.send_signal(signal.SIGSTOP)
            try:
                assert "a replica of the old server is behind" in await refusal(at)
            finally:
                replica.process.send_signal(signal.SIGCONT)
            (second,) = await publish(writer, name, "2")
            assert (second.epoch, second.offset) == (first.epoch, 2)


async def test_a_seal_that_was_broken_gives_nothing_up(at, monkeypatch):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        await publish(writer, name, "1")
        compare = Copy.compare

        async def broken(self):
            store = Partitions(at.before, options=Options())
            await seals.break_seal(store, 1)
            await store.close()
            return await compare(self)

        monkeypatch.setattr(Copy, "compare", broken)
        assert "the seal was broken" in await refusal(at)
        await publish(writer, name, "2")


async def test_what_dies_after_the_switch_is_finished_by_another_run(at, monkeypatch):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        (first,) = await publish(writer, name, "1")

        async def die(*_):
            raise ConnectionResetError("gone")

        with monkeypatch.context() as patched:
            patched.setattr(Move, "_arrive", die)
            assert "run this again" in await refusal(at)
        (refused,) = await writer.publish([draft(name, "2")])
        assert isinstance(refused, OpenlineError)
        said = await move(at)
        assert any("former run" in line for line in said)
        (second,) = await publish(writer, name, "2")
        assert (second.epoch, second.offset) == (first.epoch, 2)
        await move(at)  # does nothing more


async def test_it_can_move_back(at):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        (first,) = await publish(writer, name, "1")
        # Valkey's data is of a newer format than Redis 7.0 reads, so both servers are of one kind here.
        url = at.servers[0].url
        third = (Server(url, (0,)), Server(url.removesuffix("0") + "3", (1,)))
        at.after, kept = third, at.after
        try:
            await move(at)
            await publish(writer, name, "2")
            at.after = at.before
            await move(at, before=third, after=at.before)
        finally:
            at.after = kept
        (last,) = await publish(writer, name, "3")
        assert (last.epoch, last.offset) == (first.epoch, 3)


async def test_servers_that_cannot_take_it_are_refused_and_nothing_changes(at):
    async with service(at) as writer:
        (name,) = channels(writer, 1)
        await publish(writer, name, "1")
        with at.servers[1].client() as client:
            for setting, wrong, right, said in (
                ("maxmemory-policy", "allkeys-lru", "noeviction", "noeviction"),
                ("appendonly", "no", "yes", "append-only"),
                ("maxmemory", "1", "0", "more memory"),
            ):
                client.config_set(setting, wrong)
                try:
                    assert said in await refusal(at)
                finally:
                    client.config_set(setting, right)
                client.delete(KEYS.home)
            client.set(KEYS.head("room:a"), "x")
            assert "holds keys of this partition, such as ol:{p1}:head:room:a" in await refusal(at)
            client.flushall()
            client.hset(Keys(5).home, mapping={"fleet": "other", "number": 5, "of": 2})
            assert "partition 5 of another fleet" in await refusal(at)
            client.flushall()
            client.set(KEYS.mover, "somebody")
            assert "being moved already" in await refusal(at)
        assert "partition 1 does not live at its old server" in await refusal(
            at, before=at.after, after=at.before
        )
        assert "lives at both servers" in await refusal(at, after=at.before)
        await publish(writer, name, "2")
