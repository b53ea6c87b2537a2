"""What the back end tells a gateway to do with its sessions, and which tokens open nothing any more."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from services.gateway.node import control as module
from services.gateway.node.control import ControlMessages
from services.gateway.node.registry import Registry
from services.gateway.session.native import NativeSession
from services.kernel.broker.port import Entry, EntryType
from services.kernel.domain import control
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Kind, Revocation
from tests.support.bare_session import opened
from tests.support.gateway_host import ManualHost, brief
from tests.support.revocation_record import Record
from tests.support.waiting import until

BOB, AMY = (Revocation(kind=Kind.TOKEN, value=name, exp=2e9) for name in ("bob", "amy"))


@pytest.fixture
def host():
    return ManualHost()


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(module, "RELOAD_SECONDS", 0.001)


moves = []
probes = []
drains = []


carried = []


def control_messages(registry, record=None):
    return ControlMessages(
        registry,
        record or Record(),
        wall=lambda: 1000.0,
        move=lambda *order: moves.append(order),
        probe=probes.append,
        drain=drains.append,
        relay=Carried(),
    )


class Carried:
    """Keeps what is handed over and answered."""

    def __init__(self):
        self.carry, self.taken = carried.append, carried.append


def member(host, registry, user):
    session = opened(host, user, kind=NativeSession, **({"jti": user} if user else {}))
    registry.add(session)
    return session


def tell(control_messages, message):
    control_messages.handle(Entry(1, EntryType.CONTROL, fragment=control.encode(message)))


# Control messages


async def test_one_connection_is_spoken_to_and_disconnected(host, registry):
    bob, here = member(host, registry, "bob"), control_messages(registry)
    tell(here, control.Direct(connection=bob.id, data=msgspec.Raw(b"[1]"), ts=5))
    tell(here, control.DisconnectConnection(connection="elsewhere"))
    assert not bob.is_closed
    tell(here, control.DisconnectConnection(connection=bob.id, code=4010, reason="go"))
    assert bob.connection.events() == [{"type": "direct", "data": [1], "ts": 5}]
    assert (bob.connection.code, bob.connection.reason) == (4010, "go")


async def test_all_connections_of_a_user_are_subscribed_unsubscribed_disconnected(host, registry):
    bobs, amy = [member(host, registry, "bob") for _ in range(2)], member(host, registry, "amy")
    here = control_messages(registry)
    tell(here, control.SubscribeUser(user="bob", channel="chat:a"))
    host.run()
    tell(here, control.UnsubscribeUser(user="bob", channel="chat:a"))
    tell(here, control.DisconnectUser(user="bob"))
    tell(here, control.DisconnectUser(user="nobody"))
    for bob in bobs:
        assert brief(bob.connection.events()) == ["subscribed", "unsubscribed"]
        assert bob.connection.code == 4004
    assert not amy.is_closed


async def test_a_former_connection_is_ended_for_whom_it_belonged_to(host, registry):
    bob, here = member(host, registry, "bob"), control_messages(registry)
    tell(here, control.EndFormer(connection=bob.id, user="eve"))
    tell(here, control.EndFormer(connection=bob.id, user=None))
    tell(here, control.EndFormer(connection=bob.id, user=None, client="c"))
    assert not bob.is_closed
    tell(here, control.EndFormer(connection=bob.id, user="bob"))
    assert bob.connection.code == 4004


async def test_commands_and_their_answers_go_to_the_relay(registry):
    carried.clear()
    here = control_messages(registry)
    messages = [
        control.CarryCommands(connection="c", digest="d", request="r", commands=[]),
        control.CommandsTaken(request="r"),
    ]
    for message in messages:
        tell(here, message)
    assert carried == messages


async def test_what_is_meant_for_a_gateway_by_its_name_is_handed_on(registry):
    drains.clear()
    here = control_messages(registry)
    orders = [control.DrainNode(node="there", within=5), control.UndoDrain(node="there")]
    for order in orders:
        tell(here, order)
    assert drains == orders


async def test_what_a_newer_version_says_is_passed_over(host, registry):
    bob, here = member(host, registry, "bob"), control_messages(registry)
    here.handle(Entry(1, EntryType.CONTROL, fragment=b'{"do":"dance"}'))
    tell(here, control.Revoke(kind="nonsense", value="bob", exp=2e9))
    assert not bob.is_closed


# Revocations


async def test_a_revoked_token_ends_its_sessions(host, registry):
    bob, amy, nobody = (member(host, registry, user) for user in ("bob", "amy", None))
    here = control_messages(registry)
    tell(here, control.Revoke(kind="jti", value="bob", exp=2e9))
    assert here.covers(bob.claims or Claims(sub="bob", jti="bob"))
    assert [s.connection.code for s in (bob, amy, nobody)] == [4005, None, None]


async def test_an_empty_record_ends_nothing(host, registry):
    bob, here = member(host, registry, "bob"), control_messages(registry)
    await here.load()
    assert not bob.is_closed


async def test_the_record_is_read_until_it_is_had(host, registry):
    record = Record([BOB])
    record.away = 2
    bob, here = member(host, registry, "bob"), control_messages(registry, record)
    assert not here.is_loaded
    await here.load()
    assert (record.away, here.is_loaded, bob.connection.code) == (0, True, 4005)


async def test_what_is_announced_while_the_record_is_read_is_not_lost(registry):
    record = Record([BOB])
    here = control_messages(registry, record)
    record.reading.clear()
    loads = [asyncio.create_task(here.load()) for _ in range(2)]
    await until(lambda: record.reads == 1)
    tell(here, control.Revoke(kind="jti", value="amy", exp=2e9))
    record.reading.set()
    await asyncio.gather(*loads)
    assert here.covers(Claims(sub="bob", jti="bob"))
    assert here.covers(Claims(sub="amy", jti="amy"))


async def test_a_record_that_lost_what_is_known_gets_it_back(host, registry):
    record = Record([BOB])
    here = control_messages(registry, record)
    await here.load()
    tell(here, control.Revoke(kind="jti", value="amy", exp=2e9))
    tell(here, control.Revoke(kind="jti", value="eve", exp=999))
    record.known.clear()
    await here.load()
    assert here.covers(Claims(sub="bob", jti="bob"))
    assert sorted(one.value for one in record.known) == ["amy", "bob"], "eve's has ended"


async def test_after_a_resync_the_record_gets_what_came_by_the_bus_alone(registry):
    """A master that took over had lagged: its record looks as it did before, by number and by what it announced."""
    record = Record([BOB])
    here = control_messages(registry, record)
    await here.load()
    tell(here, control.Revoke(kind="jti", value="amy", exp=2e9))
    await here.load()
    assert [one.value for one in record.known] == ["bob"]
    await here.load(whole=True)
    assert [one.value for one in record.known] == ["bob", "amy"]


async def test_a_record_that_can_be_read_counts_although_nothing_can_be_written(registry):
    record = Record()
    here = control_messages(registry, record)
    tell(here, control.Revoke(kind="jti", value="bob", exp=2e9))

    async def refused(*_):
        record.reads = -1
        raise OpenlineError(Code.UNAVAILABLE, "out of memory")

    record.add = refused
    loading = asyncio.create_task(here.load())
    await until(lambda: record.reads == -1)
    assert here.is_loaded
    loading.cancel()


async def test_a_lost_announcement_is_made_good(registry):
    record = Record()
    here = control_messages(registry, record)
    running = asyncio.create_task(here.run())
    await until(lambda: here.is_loaded)
    record.known.append(BOB)
    await until(lambda: here.covers(Claims(sub="bob", jti="bob")))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_has_ended_is_not_kept(registry):
    record = Record([BOB])
    here = control_messages(registry, record)
    running = asyncio.create_task(here.run())
    await until(lambda: here.is_loaded)
    tell(here, control.Revoke(kind="jti", value="amy", exp=999))
    tell(here, control.Revoke(kind="jti", value="eve", exp=1001))
    assert len(here._known.revoked) == 3
    await until(lambda: len(here._known.revoked) == 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not here.covers(Claims(sub="amy", jti="amy"))
    assert here.covers(Claims(sub="eve", jti="eve"))


def test_the_clients_of_a_front_door_are_moved(registry):
    moves.clear()
    tell(control_messages(registry), control.MoveClients(proxy="nginx-1", seconds=30))
    assert moves == [("nginx-1", 30)]


def test_a_users_connections_are_probed(registry):
    tell(control_messages(registry), control.ProbeUser(user="bob"))
    assert probes.pop() == "bob"
