"""What may be lost on real servers is told: promotion, flush, restart, demotion, a trimmed bus, a full memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack

import pytest

from services.kernel.broker.port import EntryType, Look, Looked, Stale
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.tokens.revocations import Kind as RevocationKind
from services.kernel.tokens.revocations import Revocation
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.contract.steps import (
    beat,
    draft,
    expect_error,
    head,
    look,
    member,
    publish,
    publish_one,
    texts,
)
from tests.support.redis_server import start_redis


@pytest.fixture(params=["redis", "valkey"])
def flavour(request):
    return request.param


@pytest.fixture
def start(tmp_path, flavour):
    servers = []

    def start(*args):
        server = start_redis(tmp_path, "--repl-diskless-sync-delay", "0", *args, flavour=flavour)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop(kill=True)


@pytest.fixture
async def connect():
    async with AsyncExitStack() as stack:

        async def connect(server, **options):
            url = f"{server.url}?socket_timeout={options.pop('socket_timeout', 10)}"
            broker = RedisBroker(url, **options)
            stack.push_async_callback(broker.close)
            await broker.start()
            return broker

        yield connect


async def until(condition, seconds: float = 30.0):
    """Wait for a condition; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.02)
    return value


async def follow(replica, master) -> None:
    """Make one server the replica of another and wait until it has everything."""
    with replica.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", master.port)
        await until(lambda: client.info("replication").get("master_link_status") == "up")
    with master.client() as client:
        await until(lambda: client.wait(1, 1000) == 1)


async def blocks(server) -> None:
    """Wait until a read waits at the server."""
    with server.client() as client:
        await until(lambda: client.info("clients")["blocked_clients"])


def promote(replica) -> None:
    with replica.client() as client:
        client.execute_command("REPLICAOF", "NO", "ONE")


async def refused(call) -> str:
    """The message of a call that must be refused as unavailable."""
    with pytest.raises(OpenlineError) as caught:
        await call
    assert caught.value.code is Code.UNAVAILABLE
    return caught.value.message


async def test_a_promoted_replica_never_claims_what_it_did_not_see(start, connect):
    master, replica = start(), start()
    await follow(replica, master)
    before = await connect(master)
    stored = await publish(before, "room:a", "1", "2", "3")
    with master.client() as client:
        await until(lambda: client.wait(1, 1000) == 1)
    known = await beat(before, "i1")
    promote(replica)
    acknowledged = await publish(before, "room:a", "4", "5")
    assert acknowledged[-1].offset == 5
    master.stop(kill=True)

    after = await connect(replica)
    epoch = stored[0].epoch
    readers = tuple(Position(epoch, offset) for offset in (2, 3, 5))
    assert await after.look(0, [Look("room:a", readers)]) == [Stale()]
    beaten = await beat(after, "i2")
    assert beaten.history != known.history
    await after.open("room:a", "Epoch2")
    looked = await look(after, "room:a", since=readers)
    assert (looked.epoch, looked.offset, looked.began) == ("Epoch2", 3, 3)
    assert (looked.start, looked.publications) == (3, ())
    # The offsets 4 and 5 are handed out again, for other messages, in another epoch.
    again = await publish(after, "room:a", "other 4", "other 5")
    assert [(p.epoch, p.offset) for p in again] == [("Epoch2", 4), ("Epoch2", 5)]
    looked = await look(after, "room:a", since=readers)
    assert looked.start == looked.offset


async def test_a_publish_is_fenced_before_anybody_looks(start, connect):
    """The first publish on a promoted replica begins the new epoch by itself."""
    master, replica = start(), start()
    await follow(replica, master)
    before = await connect(master)
    (stored,) = await publish(before, "room:a", "1")
    with master.client() as client:
        await until(lambda: client.wait(1, 1000) == 1)
    promote(replica)
    after = await connect(replica)
    (fleeting,) = await after.publish([draft("room:a", ephemeral=True)])
    assert fleeting.epoch == ""  # it begins nothing, and the old epoch is over
    (next_one,) = await publish(after, "room:a", "2")
    assert next_one.offset == 2
    assert next_one.epoch != stored.epoch
    assert (await head(after, "room:a")).began == 1


async def test_a_key_that_survived_a_promotion_still_stores_once(start, connect):
    master, replica = start(), start()
    await follow(replica, master)
    before = await connect(master)
    stored = await publish_one(before, draft("room:a", key="k"))
    with master.client() as client:
        await until(lambda: client.wait(1, 1000) == 1)
    promote(replica)
    after = await connect(replica)
    again = await publish_one(after, draft("room:a", key="k"))
    assert (again.duplicate, again.offset) == (True, stored.offset)


async def test_a_node_that_entered_before_a_promotion_enters_again(start, connect):
    master, replica = start(), start()
    await follow(replica, master)
    before = await connect(master)
    await beat(before, "i1")
    with master.client() as client:
        await until(lambda: client.wait(1, 1000) == 1)
    promote(replica)
    after = await connect(replica)
    assert (await beat(after, "i1")).lost


async def test_a_demoted_master_is_refused(start, connect):
    master, replica = start(), start()
    await follow(replica, master)
    broker = await connect(master)
    await publish(broker, "room:a", "1")
    known = await beat(broker, "i1")
    waiting = asyncio.create_task(broker.read(0, known.bus, block=10))
    await blocks(master)
    promote(replica)
    with master.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", replica.port)
    assert "role" in await refused(waiting)
    assert "not the master" in await refused(broker.read(0, known.bus, block=0.1))
    assert "not the master" in await refused(beat(broker, "i1"))
    with master.client() as client:
        await until(lambda: client.info("replication").get("master_link_status") == "up")
    # It has its new master's data by now, record and head match; but what it says may be late.
    after = await connect(replica)
    await publish(after, "room:a", "2")
    with replica.client() as client:
        await until(lambda: client.wait(1, 1000) == 1)
    assert await broker.look(0, [Look("room:a")]) == [Stale()]
    await refused(broker.open("room:a", "Epoch2"))
    for result in await broker.publish([draft("room:a"), draft("room:a", key="k")]):
        expect_error(result, Code.UNAVAILABLE)
    await refused(broker.history("room:a", since=None, limit=1, reverse=False))


class Address:
    """An address that leads to another server from one moment on, and leaves the connections made before as they are."""

    def __init__(self, server):
        self.server = server
        self._passing: set[asyncio.Task[None]] = set()

    async def __aenter__(self):
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_):
        self._listener.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._passing.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, far_writer))
                group.create_task(self._pass_on(far_reader, writer))
        except* asyncio.CancelledError:
            pass
        finally:
            writer.close()
            far_writer.close()

    async def _pass_on(self, reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()


async def test_an_address_that_moves_is_followed_although_the_demoted_master_keeps_its_connections(
    start, connect
):
    master, replica = start(), start()
    await follow(replica, master)
    async with Address(master) as address:
        broker = await connect(address)
        await publish(broker, "room:a", "1")
        await broker.history("room:a", since=None, limit=1, reverse=False)
        with master.client() as client:
            await until(lambda: client.wait(1, 1000) == 1)
            promote(replica)
            client.execute_command("REPLICAOF", "127.0.0.1", replica.port)
            await until(lambda: client.info("replication").get("master_link_status") == "up")
        address.server = replica
        expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
        await publish(broker, "room:a", "2")
        known = await beat(broker, "i1")
        assert (await broker.history("room:a", since=None, limit=1, reverse=False)).offset == 2
        assert isinstance((await broker.look(0, [Look("room:a")]))[0], Looked)
        assert (await broker.read(0, known.bus - 1))[0].type is EntryType.BEAT
        await broker.close()


async def test_a_writable_replica_is_refused_as_well(start, connect):
    master, replica = start(), start("--replica-read-only", "no")
    broker = await connect(replica)
    await publish(broker, "room:a", "1")
    await follow(replica, master)
    expect_error((await broker.publish([draft("room:a")]))[0], Code.UNAVAILABLE)
    assert await broker.look(0, [Look("room:a")]) == [Stale()]


async def test_a_flush_is_told(start, connect):
    server = start()
    broker = await connect(server)
    stored = await publish(broker, "room:a", "1", "2", "3")
    known = await beat(broker, "i1")
    with server.client() as client:
        client.flushall()
    reader = Position(stored[0].epoch, 1)
    assert await broker.look(0, [Look("room:a", (reader,))]) == [Stale()]
    beaten = await beat(broker, "i1")
    assert beaten.history != known.history
    assert beaten.bus < known.bus
    assert beaten.lost
    await publish(broker, "room:a", "4", "5")
    looked = await look(broker, "room:a", since=(reader,))
    assert (looked.offset, looked.start, looked.publications) == (2, 2, ())
    assert looked.epoch != reader.epoch


async def test_a_log_without_a_head_is_not_believed(start, connect):
    server = start()
    broker = await connect(server)
    (stored,) = await publish(broker, "room:a", "1")
    with server.client() as client:
        client.delete("ol:{p0}:head:room:a")
    (other,) = await publish(broker, "room:a", "2")
    assert (other.offset, other.epoch != stored.epoch) == (1, True)
    assert texts((await look(broker, "room:a", last=5)).publications) == ["2"]


async def test_a_restart_keeps_the_log_and_begins_an_epoch(start, connect):
    server = start("--appendonly", "yes", "--appendfsync", "always")
    broker = await connect(server)
    stored = await publish(broker, "room:a", "1", "2")
    known = await beat(broker, "i1")
    server.restart()
    assert await broker.look(0, [Look("room:a")]) == [Stale()]
    (next_one,) = await publish(broker, "room:a", "3")
    assert (next_one.offset, next_one.epoch != stored[0].epoch) == (3, True)
    looked = await look(broker, "room:a", last=5)
    assert (looked.began, texts(looked.publications)) == (2, ["1", "2", "3"])
    beaten = await beat(broker, "i1", canary=True)
    assert beaten.history != known.history
    assert beaten.bus == known.bus + 2


async def test_a_trusted_restart_keeps_the_epoch(start, connect):
    server = start("--appendonly", "yes", "--appendfsync", "always")
    broker = await connect(server, trusted_restart=True)
    stored = await publish(broker, "room:a", "1", "2")
    known = await beat(broker, "i1")
    server.restart(kill=True)
    looked = await look(broker, "room:a", since=(Position(stored[0].epoch, 0),))
    assert texts(looked.publications) == ["1", "2"]
    (next_one,) = await publish(broker, "room:a", "3")
    assert (next_one.epoch, next_one.offset) == (stored[0].epoch, 3)
    beaten = await beat(broker, "i1")
    assert (beaten.history, beaten.lost) == (known.history, False)
    with server.client() as client:
        client.flushall()
    assert (await beat(broker, "i1")).history != known.history


async def test_an_outage_is_refused_and_ends(start, connect):
    server = start("--appendonly", "yes")
    broker = await connect(server)
    await publish(broker, "room:a", "1")
    waiting = asyncio.create_task(broker.read(0, 1, block=10))
    await blocks(server)
    server.stop()
    await refused(waiting)
    for result in await broker.publish([draft("room:a"), draft("room:a", key="k")]):
        expect_error(result, Code.UNAVAILABLE)
    await refused(broker.look(0, [Look("room:a")]))
    await refused(broker.read(0, 1))
    await refused(broker.subscribers(["room:a"]))
    assert broker.counters.failures["publish"] == 2
    server.start()
    (stored,) = await publish(broker, "room:a", "2")
    assert stored.offset == 2
    assert [entry.id for entry in await broker.read(0, 1)] == [2]


async def test_reconnecting_ends_a_waiting_read(start, connect):
    server = start()
    broker = await connect(server)
    waiting = asyncio.create_task(broker.read(0, 0, block=10))
    await blocks(server)
    await broker.reconnect(0)
    await refused(waiting)
    await publish(broker, "room:a", "0")
    assert len(await broker.read(0, 0)) == 1


async def test_closing_ends_a_waiting_read(start, connect):
    server = start()
    broker = await connect(server)
    waiting = asyncio.create_task(broker.read(0, 0, block=10))
    await blocks(server)
    await broker.close()
    await refused(waiting)


async def test_reconnecting_in_the_middle_of_calls_spoils_none(start, connect):
    broker = await connect(start())
    await publish(broker, "room:a", "0")
    for turns in range(30):
        calls = [asyncio.create_task(broker.look(0, [Look("room:a")])) for _ in range(5)]
        sent = [asyncio.create_task(broker.publish([draft("room:a", key=f"{turns}")]))]
        for _ in range(turns):
            await asyncio.sleep(0)
        await broker.reconnect(0)
        for call in calls:
            assert isinstance((await call)[0], Looked)
        assert not isinstance((await sent[0])[0], OpenlineError)
    assert (await head(broker, "room:a")).offset == 31


async def test_an_idle_connection_that_was_ended_costs_no_publish(start, connect):
    server = start()
    broker = await connect(server)
    await publish(broker, "room:a", "1")
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.sleep(0.05)
    assert (await publish(broker, "room:a", "2"))[0].offset == 2


async def test_a_script_sent_twice_stores_once(start, connect):
    """The server pauses for longer than the client waits; the client sends the same draft again."""
    server = start()
    broker = await connect(server, socket_timeout=2)
    await publish(broker, "room:a", "0")
    writes = broker.client.writes
    for turn in range(2):
        former = writes._pipe
        server.pause()
        # Of one call, so that both are under way: another call waits for the answer to the first.
        both = [draft("room:a", "once", key=f"k{turn}"), draft("room:b", "unknown")]
        call = asyncio.create_task(broker.publish(both))
        await until(lambda: writes._pipe is not former)  # noqa: B023 - it is waited for here
        server.resume()
        keyed, keyless = await call
        assert not isinstance(keyed, OpenlineError)
        assert keyed.offset == turn + 2
        expect_error(keyless, Code.UNAVAILABLE)
        assert (await head(broker, "room:a")).offset == turn + 2


class SlowRoad:
    """A proxy; what a client sends waits for the event `flows` that the proxy had when the client connected."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: list[asyncio.Task[None] | None] = []
        self.flows = asyncio.Event()
        self.flows.set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aexit__(self, *_: object) -> None:
        self.flows.set()
        self._server.close()
        await asyncio.gather(*filter(None, self._tasks))

    async def _carry(self, reader, writer) -> None:
        self._tasks.append(asyncio.current_task())
        upstream, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        gate = self.flows
        await asyncio.gather(self._pipe(reader, to_server, gate), self._pipe(upstream, writer))

    async def _pipe(self, reader, writer, gate: asyncio.Event | None = None) -> None:
        try:
            while data := await reader.read(65536):
                if gate is not None:
                    await gate.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_an_abandoned_command_never_runs_after_its_successor(start):
    """What a slow network holds back until its sender has reconnected does not arrive as the latest news."""
    server = start()
    road = SlowRoad(server.port)
    async with road as url, AsyncExitStack() as stack:
        broker = RedisBroker(f"{url}?socket_timeout=2")
        stack.push_async_callback(broker.close)
        await beat(broker, "i1")
        held, road.flows = road.flows, asyncio.Event()
        held.clear()
        road.flows.set()
        await refused(broker.control(b'{"late":true}'))
        await broker.control(b'{"late":false}')
        held.set()
        await asyncio.sleep(0.2)
        found = [entry.fragment for entry in await broker.read(0, 1)]
        assert found == [b'{"late":false}']


async def test_a_reader_that_was_too_slow_sees_the_hole(start, connect):
    broker = await connect(start(), bus_length=100)
    await publish(broker, "room:a", "0")
    position = (await broker.read(0, 0))[-1].id
    await broker.publish([draft("room:a", str(n)) for n in range(1000)])
    first = (await broker.read(0, position))[0]
    assert first.id > position + 1
    looked = await look(broker, "room:a", last=1000)
    assert looked.bus == 1001


async def test_flushed_scripts_are_loaded_again_in_order(start, connect):
    server = start()
    broker = await connect(server)
    await publish(broker, "room:a", "0")
    for turn in range(3):
        with server.client() as client:
            client.script_flush()
        await asyncio.gather(
            *(broker.publish([draft("room:a", f"{turn}.{n}")]) for n in range(20)),
            broker.look(0, [Look("room:a")]),
        )
    page = await broker.history("room:a", since=None, limit=100, reverse=False)
    assert texts(page.publications) == ["0", *(f"{t}.{n}" for t in range(3) for n in range(20))]


async def test_a_full_memory_refuses_cleanly(start, connect):
    server = start()
    broker = await connect(server)
    (stored,) = await publish(broker, "room:a", "1")
    known = await beat(broker, "i1")
    await broker.enter("room:a", member("c1"), "i1", announce=True)
    with server.client() as client:
        client.config_set("maxmemory", 1)
        refusals = await broker.publish([draft("room:a"), draft("room:a", ephemeral=True)])
        for refusal in refusals:
            error = expect_error(refusal, Code.UNAVAILABLE)
            assert "memory" in error.message
            assert error.retry_after == 5
        # All else goes on, or a full memory would look like a dead node, and nobody could be let in or be sent away.
        assert not (await beat(broker, "i1", canary=True)).lost
        await broker.enter("room:a", member("c2"), "i1", announce=True)
        await broker.listeners("i1", {"room:a": 1})
        await broker.open("room:b", "Epoch1")
        await broker.spend({"amy": 1.0}, rate=10, burst=20)
        await broker.control(b"{}")
        tickets, revocations = RedisTickets(broker.client), RedisRevocations(broker.client)
        assert await tickets.redeem(await tickets.issue("token", ttl=30)) == "token"
        exp = time.time() + 60
        await revocations.add(Revocation(kind=RevocationKind.SUBJECT, value="amy", exp=exp))
        assert (await revocations.mark()).size == 1
        looked = await look(broker, "room:a", last=5)
        assert (looked.offset, texts(looked.publications)) == (1, ["1"])
        assert await broker.leave("room:a", "c1", "i1", announce=True, linger=False)
        await broker.resign("i1")
        assert not await broker.reap(0, "i1")
        client.config_set("maxmemory", 0)
    assert (await publish(broker, "room:a", "2"))[0] == type(stored)(stored.epoch, 2)
    kinds = [entry.type for entry in await broker.read(0, known.bus)]
    assert kinds == [
        EntryType.JOIN,
        EntryType.BEAT,
        EntryType.JOIN,
        EntryType.CONTROL,
        EntryType.LEAVE,
        EntryType.LEAVE,
        EntryType.MESSAGE,
    ]
    looked = await look(broker, "room:a", last=5)
    assert isinstance(looked, Looked)
    assert texts(looked.publications) == ["1", "2"]


async def test_a_store_that_was_emptied_and_that_another_service_began_anew_is_served_on(
    start, connect
):
    server = start()
    broker = await connect(server)
    (before,) = await publish(broker, "room:a", "1")
    with server.client() as client:
        client.flushall()
        newcomer = await connect(server)
        (other,) = await publish(newcomer, "room:a", "2")
        client.client_kill_filter(_type="normal", skipme=True)
    after = await publish_one(broker, draft("room:a", "3", key="sent again"))
    assert after.epoch == other.epoch != before.epoch
