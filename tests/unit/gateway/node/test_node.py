"""A gateway among others, without server: its sessions, what the back end tells it, its lease, its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.gateway.fanout.wire_format import JSON
from services.gateway.metrics import Metrics
from services.gateway.node import drain as drain_module
from services.gateway.node import lease as lease_module
from services.gateway.node import partition as partition_module
from services.gateway.node import presence as presence_module
from services.gateway.node import probes
from services.gateway.node import reports as reports_module
from services.gateway.node.node import Node
from services.gateway.session.native import NativeSession
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import Draft
from services.kernel.domain import channels, control, namespaces
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.tokens.revocations import Kind, Revocation
from tests.support.gateway_host import TABLES, RecordingConnection, brief
from tests.support.refusals import refused
from tests.support.revocation_record import Record
from tests.support.waiting import until


class Verifier:
    """Each token is good for the user it names; `bad` is none; `kept` needs no looking."""

    def cached(self, token, now):
        return Claims(sub=token, jti=token) if token == "kept" else None

    async def verify(self, token, now):
        if token == "bad":
            raise OpenlineError(Code.UNAUTHORIZED, "bad token")
        return Claims(sub=token, jti=token)


class Tickets:
    async def redeem(self, ticket):
        return ticket if ticket == "bob" else None


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(partition_module, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(reports_module, "REPORT_SECONDS", 0.01)
    monkeypatch.setattr(drain_module, "SLOT", 0.01)
    monkeypatch.setattr(presence_module, "RETRY", 0.005)
    monkeypatch.setattr(presence_module, "GRACE", 0.02)


@asynccontextmanager
async def running(
    broker=None,
    *,
    name="here",
    limits=None,
    revocations=None,
    end=None,
    started=True,
    shedding=False,
):
    node = Node(
        name=name,
        broker=broker or MemoryBroker(),
        namespaces=namespaces.parse(TABLES),
        limits=limits or Limits(),
        verifier=Verifier(),
        tickets=Tickets(),
        revocations=revocations or Record(),
        metrics=Metrics(CollectorRegistry()),
        end=end or pytest.fail,
        version="1",
        drain_seconds=0.05,
        shedding=shedding,
    )
    task = asyncio.create_task(node.run())
    try:
        await until(lambda: node.started or not started)
        yield node
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await node.close()


@pytest.fixture
async def node():
    async with running() as node:
        yield node


async def opened(node, user="bob", *wanted):
    session = NativeSession(node, RecordingConnection(node), JSON)
    session.connection.start(session)
    node.quota.admit(session.connection.address, 0)
    session.schedule()
    session.start(Claims(sub=user, jti=user) if user else None)
    for channel in wanted:
        session.subscribe_by_server(channel)
    await until(
        lambda: session.is_closed or (session.opening is None and all(map(joined(session), wanted)))
    )
    session.connection.payloads()
    return session


def joined(session):
    return lambda channel: session.subscriptions[channel].joined


async def tell(node, message):
    await node.broker.control(control.encode(message))


async def publish(node, channel, data=1):
    draft = Draft(channel=channel, data=msgspec.json.encode(data), meta=b'"ts":1')
    return (await node.broker.publish([draft]))[0]


async def present(node, channel="room:a"):
    page = await node.broker.members(channel, cursor=None, limit=1000)
    return sorted(member.connection for member in page.members)


# Sessions


async def test_what_is_published_reaches_who_is_here(node):
    session = await opened(node, "bob", "chat:a")
    await publish(node, "chat:a")
    await until(lambda: brief(session.connection.events()) == [1])
    session.received_text(b'{"type":"publish","channel":"chat:a","data":2,"id":1}')
    await until(lambda: session.connection.sent[-1].endswith(b'"data":2}'))


async def test_nothing_is_kept_of_a_session_that_has_ended(node):
    session = await opened(node, "bob", "room:a")
    await until(lambda: node._reports._counts == {})
    assert await node.broker.subscribers(["room:a", channels.connections("bob")]) == [1, 1]
    session.closed(1000, "", True)
    await until(lambda: node._reports._counts == {} and not node._calls)
    assert await node.broker.subscribers(["room:a", channels.connections("bob")]) == [0, 0]
    assert (list(node._registry), node._registry.counts(), node._reports._newcomers) == ([], {}, {})
    assert (node.quota._addresses, node.quota._users) == ({}, {})
    assert await present(node) == []
    assert node._presence._members == {}
    assert node._presence._tails == {}


async def test_a_session_that_never_opened_is_forgotten_too(node):
    session = NativeSession(node, RecordingConnection(node), JSON)
    node.quota.admit(session.connection.address, 0)
    session.schedule()
    session.closed(1006, "", False)
    assert node.quota._addresses == {}


async def test_a_user_has_so_many_connections_here_and_over_the_fleet():
    broker = MemoryBroker()
    limits = Limits(connections_per_user=2)
    async with running(broker, limits=limits) as node, running(broker, limits=limits) as other:
        mine = [await opened(node), await opened(node), await opened(node)]
        assert [session.connection.code for session in mine] == [None, None, 4104]
        await until(lambda: not node._reports._counts)
        theirs = await opened(other)
        await until(lambda: theirs.connection.code == 4104)
        assert [session.is_closed for session in mine] == [False, False, True]


async def test_the_fleet_is_asked_whether_the_connections_of_a_user_at_the_limit_live(monkeypatch):
    monkeypatch.setattr(probes, "PATIENCE", 0.05)
    broker = MemoryBroker()
    limits = Limits(connections_per_user=2)
    async with running(broker, limits=limits) as node, running(broker, limits=limits) as other:
        dead, here = await opened(node), await opened(node)
        await until(lambda: not node._reports._counts)
        dead.connection.last_received -= 60
        theirs = await opened(other)
        await until(lambda: theirs.connection.code == 4104)
        await until(lambda: dead.connection.code == 4102)
        assert not here.is_closed
        await until(lambda: not node._reports._counts)
        assert not (await opened(other)).is_closed


async def test_a_gateway_that_has_all_connections_of_a_user_asks_them_as_well(monkeypatch):
    monkeypatch.setattr(probes, "PATIENCE", 0.05)
    async with running(limits=Limits(connections_per_user=1)) as node:
        dead = await opened(node)
        dead.connection.last_received -= 60
        assert (await opened(node)).connection.code == 4104
        await until(lambda: dead.connection.code == 4102)
        assert not (await opened(node)).is_closed


async def test_while_the_store_is_away_nobody_is_asked(node, monkeypatch):
    monkeypatch.setattr(node.metrics.task_failures, "report", pytest.fail)
    node.broker.down = True
    node.fleet.order_probe("bob")
    await until(lambda: not node._calls)


async def test_rates_are_shared_with_the_fleet():
    broker = MemoryBroker()
    limits = Limits(user_rate=0.001, user_burst=4)
    async with running(broker, limits=limits) as node, running(broker, limits=limits) as other:
        assert [node.charge("bob") for _ in range(3)] == [0, 0, 0]
        other.charge("bob")
        await until(lambda: other.charge("bob") > 0)


async def test_bytes_are_shared_with_the_fleet_by_user_or_address():
    broker = MemoryBroker()
    limits = Limits(user_bytes_rate=1, user_bytes_burst=6400)
    async with running(broker, limits=limits) as node, running(broker, limits=limits) as other:
        bob, same, nobody = await opened(node), await opened(other), await opened(node, None)
        assert node.charge_bytes(bob, 6400) == 0
        await until(lambda: other.charge_bytes(same, 1) > 0)
        assert node.charge_bytes(nobody, 6400) == 0
        assert node.charge_bytes(nobody, 10) == 10


async def test_a_tick_that_fails_ends_its_session_alone(node):
    bad, good = await opened(node), await opened(node)

    def fail(now):
        raise ValueError("a bug")

    type(bad).tick, original = (
        lambda self, now: fail(now) if self is bad else original(self, now),
        type(bad).tick,
    )
    try:
        node.wake(bad, node.now())
        await until(lambda: bad.connection.code == 1011)
    finally:
        type(bad).tick = original
    assert not good.is_closed


async def test_a_task_that_fails_is_logged_and_nothing_else(node):
    async def fail():
        raise ValueError("a bug")

    node.spawn(fail())
    await until(lambda: not node._calls)


# Tokens


async def test_tokens_and_tickets(node):
    assert (await node.verify("bob")).sub == "bob"
    assert (await node.verify("kept")).sub == "kept"
    assert (await node.tokens.redeem("bob")).sub == "bob"
    with refused(Code.UNAUTHORIZED, "ticket"):
        await node.tokens.redeem("used")
    with refused(Code.UNAUTHORIZED):
        await node.verify("bad")


async def test_after_a_resync_the_record_is_read_again():
    record = Record()
    async with running(revocations=record) as node:
        record.known = [Revocation(kind=Kind.TOKEN, value="bob", exp=2e9)]
        node.buses.resynced(0)
        await until(lambda: record.reads > 1 and not node._calls)
        with refused(Code.UNAUTHORIZED, "revoked"):
            await node.verify("bob")


async def test_what_is_revoked_before_the_bus_is_followed_is_not_missed():
    record = Record()

    class Late(MemoryBroker):
        async def beat(self, partition, beat):
            if not record.known:
                for _ in range(10):
                    await asyncio.sleep(
                        0
                    )  # who does not wait for the bus has read the record by now
                record.known = [Revocation(kind=Kind.TOKEN, value="bob", exp=2e9)]
                await self.control(control.encode(control.Revoke(kind="jti", value="bob", exp=2e9)))
            return await super().beat(partition, beat)

    async with running(Late(), revocations=record) as node:
        with refused(Code.UNAUTHORIZED, "revoked"):
            await node.verify("bob")


async def test_a_revoked_token_ends_its_sessions_and_opens_none(node):
    bob, amy, nobody = await opened(node), await opened(node, "amy"), await opened(node, None)
    await tell(node, control.Revoke(kind="jti", value="bob", exp=2e9))
    await tell(node, control.Revoke(kind="nonsense", value="amy", exp=2e9))
    await until(lambda: bob.connection.code == 4005)
    with refused(Code.UNAUTHORIZED, "revoked"):
        await node.verify("bob")
    assert node.tokens.seen("kept").sub == "kept"
    await tell(node, control.Revoke(kind="jti", value="kept", exp=2e9))
    await until(lambda: node.tokens.seen("kept") is None)
    assert node.tokens.seen("amy") is None  # never verified, so nothing is known of it
    assert not amy.is_closed
    assert not nobody.is_closed


async def test_a_token_that_is_revoked_between_handshake_and_session_opens_none(node):
    claims = await node.verify("bob")
    await tell(node, control.Revoke(kind="jti", value="bob", exp=2e9))
    await until(lambda: node._control.covers(claims))
    bob = await opened(node)
    assert bob.connection.code == 4005
    assert len(node._registry) == 0


# What the back end tells


async def test_the_back_end_disconnects_and_speaks_to_one(node):
    bob, amy = await opened(node), await opened(node, "amy")
    await tell(node, control.Direct(connection=bob.id, data=msgspec.Raw(b"[1]"), ts=5))
    await tell(node, control.DisconnectConnection(connection=bob.id, code=4004, reason="go"))
    await tell(node, control.DisconnectConnection(connection="elsewhere"))
    await tell(node, control.DisconnectUser(user="nobody"))
    await tell(node, control.DisconnectUser(user="amy", code=4010))
    await node.broker.control(b'{"do":"dance"}')
    await until(lambda: amy.is_closed)
    assert bob.connection.events() == [{"type": "direct", "data": [1], "ts": 5}]
    assert (bob.connection.code, amy.connection.code) == (4004, 4010)


async def test_a_former_connection_ends_here_and_elsewhere_for_whom_it_belonged_to(node):
    async with running(node.broker, name="there") as other:
        mine, theirs, strange = await opened(node), await opened(other), await opened(other, "eve")
        node.end_former(mine.id, user=None, client="")
        node.end_former(mine.id, user="eve", client="")
        node.end_former(strange.id, user="bob", client="")
        node.end_former(theirs.id, user="bob", client="")
        await until(lambda: theirs.is_closed)
        assert theirs.connection.code == 4004
        assert not strange.is_closed
        assert not mine.is_closed
        node.end_former(mine.id, user="bob", client="")
        assert mine.is_closed


async def test_while_the_store_is_away_a_former_connection_is_left_to_its_heartbeat(
    node, monkeypatch
):
    monkeypatch.setattr(node.metrics.task_failures, "report", pytest.fail)
    node.broker.down = True
    node.end_former("elsewhere", user="bob", client="")
    await until(lambda: not node._calls)


async def test_the_back_end_subscribes_and_unsubscribes_a_user(node):
    bob = await opened(node)
    await tell(node, control.SubscribeUser(user="bob", channel="chat:a"))
    await until(lambda: brief(bob.connection.events()) == ["subscribed"])
    await tell(node, control.UnsubscribeUser(user="bob", channel="chat:a"))
    await until(lambda: brief(bob.connection.events()) == ["unsubscribed"])


# Among others


async def test_a_lost_lease_makes_it_someone_else_with_everybody_entered_again():
    class Away(MemoryBroker):
        async def beat(self, partition, beat):
            await asyncio.sleep(0)  # both partitions' beats are under way when the loss is told
            return await super().beat(partition, beat)

    broker = Away(partitions=2)
    async with running(broker) as node:
        rooms = {broker.partition(f"room:{name}"): f"room:{name}" for name in "abcdefgh"}
        session = await opened(node, "bob", *rooms.values())
        was = node.lease.incarnation

        def heard(incarnation):
            told = [*rooms.values(), channels.connections("bob")]
            here = [broker._of(name).all[name] for name in told]
            return all(incarnation in channel.listeners for channel in here)

        await until(lambda: heard(was) and not node._reports._counts)
        renewals, renew = [], node.lease.renew
        node.lease.renew = lambda *parts: renewals.append(renew(*parts))
        broker.flush()
        broker._beaten.clear()
        for part in broker._parts:
            part.births[was] = "another history"

        def restored():
            here = [broker._of(room).all[room] for room in rooms.values()]
            return heard(node.lease.incarnation) and all(
                session.id in room.members for room in here
            )

        await until(restored)
        assert node.lease.incarnation != was
        assert len(renewals) == 1  # one new incarnation, however many partitions report the loss


async def test_members_of_a_dead_gateway_are_taken_away():
    broker = MemoryBroker(lease=0.1)
    async with running(broker) as node:
        async with running(broker) as dying:
            await opened(dying, "bob", "room:a")
        async with asyncio.timeout(10):
            while not await broker.nodes():  # noqa: ASYNC110 - the one that lives may be late on a busy machine
                await asyncio.sleep(0.01)
        await until(lambda: not broker._parts[0].all["room:a"].members)
        await until(lambda: not broker._parts[0].ending)
        assert await present(node) == []


async def test_who_moves_when_its_gateway_stops_is_not_seen_to_leave():
    broker = MemoryBroker()
    async with running(broker) as node:
        watcher = await opened(node, "amy", "room:a")
        async with running(broker) as leaving:
            await opened(leaving, "bob", "room:a")
            await until(lambda: brief(watcher.connection.events()) == ["join"])
            presence_module.GRACE = 60
            await leaving.drain(0)
            await asyncio.sleep(0.01)
        await opened(node, "bob", "room:a")
        await asyncio.sleep(0.1)
        assert watcher.connection.events() == []
        assert await broker.subscribers(["room:a"]) == [2]


async def test_a_gateway_that_nobody_lingers_on_gives_its_lease_back():
    broker = MemoryBroker()
    async with running(broker) as node:
        async with running(broker):
            await until(lambda: len(broker._parts[0].leases) == 2)
        assert list(broker._parts[0].leases) == [node.lease.incarnation]


async def test_its_beat_tells_about_it(node):
    await opened(node, "bob", "chat:a")
    await until(lambda: node.buses.health.proven)
    beat = msgspec.json.decode(node.lease.beat(lag=0).node)
    assert (beat["node"], beat["connections"], beat["subscriptions"]) == ("here", 1, 3)
    assert (beat["version"], beat["draining"]) == ("1", False)
    assert (node.buses.stalled(), node.buses.unavailable()) == ([], [])
    assert node.buses.health.lag(node.now()) < 1


def miss(node, broker):
    """Let an entry be due that a beat told of a minute ago, and that has not arrived."""
    told = node.buses.health._told[0]
    told.clear()
    told.append((broker._parts[0].last, node.now() - 60))


async def test_a_stalled_bus_makes_its_connections_anew_until_it_arrives_again():
    class Stalled(MemoryBroker):
        is_stalled, held, dropped = False, False, 0

        async def read(self, partition, after, *, block, wanted=None, take=None):
            self.held = self.is_stalled
            await until(lambda: not self.is_stalled)  # a dead connection has not even an end
            return await super().read(
                partition, after, block=min(block, 0.01), wanted=wanted, take=take
            )

        async def reconnect(self, partition):
            self.dropped += 1

    broker = Stalled()
    async with running(broker) as node:
        await until(lambda: node.buses.health.proven)
        assert (node.buses.stalled(), node.buses.unavailable()) == ([], [])
        broker.is_stalled = True
        await until(lambda: broker.held)
        await broker.typing("room:nobody", "bob")
        miss(node, broker)
        await until(lambda: broker.dropped)
        beaten = node.buses.workers[0].beaten_at
        await until(lambda: node.buses.workers[0].beaten_at > beaten)
        assert node.buses.stalled() == [0]
        assert broker.dropped == 1
        broker.is_stalled = False
        await until(lambda: node.buses.stalled() == [])


async def test_a_lost_bus_moves_the_clients_to_a_healthy_peer_and_ends_the_gateway(monkeypatch):
    broker, ended = MemoryBroker(), []
    async with running(broker, end=ended.append) as node, running(broker, name="there"):
        session = await opened(node)
        monkeypatch.setattr(type(node.buses.workers[0]), "position", -1)
        miss(node, broker)
        await until(lambda: ended)
        assert (session.connection.code, node.draining) == (4100, True)
        assert msgspec.json.decode(node.lease.beat(lag=0).node)["draining"]
        assert "stays stalled" in ended[0]


async def test_it_has_not_started_before_its_canary_has_come():
    class Mute(MemoryBroker):
        mute = True

        async def read(self, partition, after, *, block, wanted=None, take=None):
            await until(lambda: not self.mute)
            return await super().read(
                partition, after, block=min(block, 0.01), wanted=wanted, take=take
            )

    broker = Mute()
    async with running(broker, started=False) as node:
        await until(lambda: node.buses.workers[0].started.is_set() and node._control.is_loaded)
        assert not node.started
        broker.mute = False
        await until(lambda: node.started)


async def test_only_channels_that_nobody_here_listens_to_are_counted_as_new():
    async with running(limits=Limits(unheard_rate=0.001, unheard_burst=1)) as node:
        await opened(node, "bob", "chat:a")
        for _ in range(3):
            node.seek("192.0.2.1", "chat:a")
        node.seek("192.0.2.1", "chat:b")
        with refused(Code.RATE_LIMITED):
            node.seek("192.0.2.1", "chat:c")


async def test_what_is_listened_to_is_told_again_now_and_then(monkeypatch):
    """The store forgets channels in which nothing was published, unless it is told."""
    monkeypatch.setattr(lease_module, "KEEP_SECONDS", 0.05)
    monkeypatch.setattr(lease_module, "KEPT_AT_ONCE", 2)
    monkeypatch.setattr(lease_module, "REPORT_SECONDS", 0.01)
    broker = MemoryBroker()
    async with running(broker) as node:
        wanted = ["chat:a", "chat:b", "chat:c"]
        session = await opened(node, "bob", *wanted, "chat:d")
        await until(lambda: broker._parts[0].all["chat:d"].listeners)
        session.unsubscribe_by_server("chat:d", "left")
        await until(lambda: not broker._parts[0].all["chat:d"].listeners)
        for name in wanted:
            broker._parts[0].all[name].listeners.clear()
        await until(lambda: all(broker._parts[0].all[name].listeners for name in wanted))
        assert not broker._parts[0].all["chat:d"].listeners


async def test_a_drain_by_name_comes_by_the_bus_and_is_undone_by_it():
    broker = MemoryBroker()
    async with running(broker) as node:
        bob = await opened(node, "bob")
        await broker.control(control.encode(control.DrainNode(node="here", within=0)))
        await until(lambda: bob.connection.code == 4100)
        assert (node.draining, node.turns_away) == (True, True)
        await broker.control(control.encode(control.UndoDrain(node="here")))
        await until(lambda: not node.draining)
        assert not node.turns_away


async def test_where_connections_are_handed_over_the_newcomers_are_known():
    for shedding in (False, True):
        async with running(shedding=shedding) as node:
            bob = await opened(node, "bob")
            assert (bob.id in node._shedder.newcomers) is shedding


async def test_draining_moves_everybody_each_at_its_moment(node):
    sessions = [await opened(node) for _ in range(4)]
    draining = asyncio.create_task(node.drain(0.08))
    await until(lambda: any(session.is_closed for session in sessions))
    assert not all(session.is_closed for session in sessions)
    late = await opened(node)
    await draining
    for session in [*sessions, late]:
        assert session.connection.code == 4100
    assert brief(sessions[0].connection.events()) == ["reconnect"]
    await node.drain(1)
    assert node.draining


async def test_it_shows_while_messages_are_refused_for_want_of_memory(node):
    full = node.metrics.store_full
    await until(lambda: node.started)
    assert (node.buses.full, value(full)) == (False, 0)
    node.broker.short = True
    await until(lambda: node.buses.full)
    assert value(full) == 1
    node.broker.short = False
    await until(lambda: not node.buses.full)


async def test_what_it_shows_goes_on_while_the_store_is_away(node, monkeypatch):
    metrics = node.metrics
    age = metrics.canary_age.labels(0)
    await until(lambda: value(metrics.store_up) == 1)
    node.broker.down = True
    monkeypatch.setattr(node.buses, "_now", lambda: node.now() + 60)
    assert value(metrics.store_up) == 0
    assert value(age) > 50
    node.broker.down = False


async def test_series_that_alerts_go_by_begin_at_zero(node):
    registry = node.metrics._registry
    for labels in (
        {"namespace": "room", "reason": "epoch"},
        {"namespace": "live", "reason": "lagged"},
    ):
        assert registry.get_sample_value("openline_gateway_resets_total", labels) == 0
    labels = {"namespace": "feed", "policy": "drop"}
    assert registry.get_sample_value("openline_gateway_slow_consumers_total", labels) == 0


def value(gauge):
    ((*_, found),) = [(sample.name, sample.value) for sample in gauge.collect()[0].samples]
    return found


async def test_regrouping_and_places_of_channels_that_are_not_here(node):
    session = await opened(node)
    assert node.position("chat:nowhere") is None
    assert node.newest("chat:nowhere") is None
    assert node.newest("public:all") is None
    await publish(node, "public:all")
    await until(lambda: node.newest("public:all") is not None)
    session.connection.stall()
    session.connection.drain()
    assert node.session(session.id) is session


async def test_an_order_moves_the_clients_of_one_front_door_known_or_not(node):
    there, elsewhere = await opened(node), await opened(node)
    silent = NativeSession(node, RecordingConnection(node), JSON)
    node.quota.admit(silent.connection.address, 0)
    silent.schedule()
    there.proxy = silent.proxy = "nginx-1"
    elsewhere.proxy = "nginx-2"
    await node.fleet.order_move("nginx-1", 0.1)
    await until(lambda: there.is_closed and silent.is_closed)
    assert [there.connection.code, silent.connection.code] == [4100, 4100]
    assert "reconnect" in [event["type"] for event in there.connection.events()]
    assert not elsewhere.is_closed
