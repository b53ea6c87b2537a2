"""Presence of this node's connections: entered and left in order, until the store has heard it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from services.gateway.node.presence import CONCURRENT, GRACE, RETRY, Presence
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import Beat, EntryType, Present
from services.kernel.domain import namespaces
from services.kernel.domain.codes import Code, OpenlineError
from tests.support.gateway_host import TABLES
from tests.support.refusals import refused


class Node:
    """A store, this node's lease there, and its presence."""

    def __init__(self):
        self.broker = MemoryBroker()
        self.incarnation = "first"
        self.presence = Presence(
            self.broker, namespaces.parse(TABLES), incarnation=lambda: self.incarnation
        )

    async def beat(self):
        await self.broker.beat(0, Beat(incarnation=self.incarnation, node=b"{}"))

    async def members(self, channel="room:a"):
        page = await self.broker.members(channel, cursor=None, limit=1000)
        return [member.connection for member in page.members]

    def told(self):
        """Joins and leaves on the bus."""
        kinds = (EntryType.JOIN, EntryType.LEAVE)
        return [entry.type for entry in self.broker._parts[0].bus if entry.type in kinds]


@pytest.fixture
async def node():
    node = Node()
    await node.beat()
    return node


def subscription(connection="c", channel="room:a", user="bob"):
    session = SimpleNamespace(id=connection, user=user)
    return SimpleNamespace(session=session, channel=channel)


async def test_entering_tells_who_is_there_and_leaving_ends_it(node):
    bob = subscription()
    assert (await node.presence.enter(bob, info={"name": "Bob"})).count == 1
    page = await node.broker.members("room:a", cursor=None, limit=10)
    assert (page.members[0].user, page.members[0].info) == ("bob", b'{"name":"Bob"}')
    await node.presence.enter(subscription("d"), info=None)
    await node.presence.leave(bob, linger=False)
    assert await node.members() == ["d"]
    assert node.told() == [EntryType.JOIN, EntryType.JOIN, EntryType.LEAVE]
    assert node.presence._tails == {}
    assert len(node.presence) == 1


async def test_where_joins_are_not_told_they_are_not(node):
    await node.presence.enter(subscription(channel="chat:a"), info=None)
    assert node.told() == []


async def test_a_quick_return_within_the_grace_shows_nothing(node):
    old, new = subscription("old"), subscription("new")
    await node.presence.enter(old, info=None)
    leaving = asyncio.create_task(node.presence.leave(old, linger=True))
    await asyncio.sleep(GRACE - 0.1)
    await node.presence.enter(new, info=None)
    await leaving
    assert await node.members() == ["new"]
    assert node.told() == [EntryType.JOIN]


async def test_whose_place_was_taken_costs_the_store_no_second_leave(node):
    old, new = subscription("old"), subscription("new")
    await node.presence.enter(old, info=None)
    leaving = asyncio.create_task(node.presence.leave(old, linger=True))
    await asyncio.sleep(1)
    # What a subscription keeps, ten thousand times: two numbers.
    assert type(await node.presence.enter(new, info=None)) is Present
    await leaving
    assert node.broker.counters.calls["leave"] == 1
    assert len(node.presence) == 1


async def test_who_did_not_take_a_place_leaves_the_one_who_lingers_there(node):
    old, new = subscription("old"), subscription("new", user="amy")
    await node.presence.enter(old, info=None)
    leaving = asyncio.create_task(node.presence.leave(old, linger=True))
    await asyncio.sleep(1)
    await node.presence.enter(new, info=None)
    await leaving
    assert await node.members() == ["new"]


async def test_who_does_not_return_within_the_grace_leaves(node):
    old = subscription("old")
    await node.presence.enter(old, info=None)
    now = asyncio.get_running_loop().time
    began = now()
    await node.presence.leave(old, linger=True)
    assert await node.members() == []
    assert now() - began == pytest.approx(GRACE)


async def test_calls_for_the_same_connection_keep_their_order(node, monkeypatch):
    bob = subscription()
    late = asyncio.Event()
    enter = node.broker.enter

    async def slow(*arguments, **options):
        await late.wait()
        return await enter(*arguments, **options)

    monkeypatch.setattr(node.broker, "enter", slow)
    calls = [
        asyncio.create_task(call)
        for call in (
            node.presence.enter(bob, info=None),
            node.presence.leave(bob, linger=False),
            node.presence.enter(bob, info=None),
        )
    ]
    await asyncio.sleep(0.005)
    late.set()
    await asyncio.gather(*calls)
    assert await node.members() == ["c"]


async def test_a_failed_entry_is_told_and_left_again(node):
    bob = subscription()
    node.broker.down = True
    with refused(Code.UNAVAILABLE):
        await node.presence.enter(bob, info=None)
    leaving = asyncio.create_task(node.presence.leave(bob, linger=False))
    await asyncio.sleep(3 * RETRY)
    assert not leaving.done()
    node.broker.down = False
    await leaving
    assert node.presence._members == {}


async def test_lingering_is_given_up_and_leaving_is_not(node):
    bob = subscription()
    await node.presence.enter(bob, info=None)
    node.broker.down = True
    leaving = asyncio.create_task(node.presence.leave(bob, linger=True))
    await asyncio.sleep(GRACE + 3 * RETRY)
    node.broker.down = False
    await leaving
    assert await node.members() == []


async def test_everyone_is_entered_again_once_the_new_incarnation_has_a_lease(node):
    many = [subscription(f"c{number:03}") for number in range(200)]
    for one in many:
        await node.presence.enter(one, info=None)
    gone = many.pop()
    node.broker.flush()
    node.incarnation = "second"
    restoring = asyncio.create_task(node.presence.enter_all())
    await asyncio.sleep(0.01)
    assert await node.members() == []  # refused: no beat yet
    leaving = asyncio.create_task(node.presence.leave(gone, linger=False))
    await asyncio.sleep(0)
    await node.beat()
    await asyncio.gather(restoring, leaving)
    assert await node.members() == [one.session.id for one in many]


async def test_who_waited_behind_a_call_may_be_cancelled(node, monkeypatch):
    bob = subscription()
    late = asyncio.Event()

    async def slow(*arguments, **options):
        await late.wait()
        raise OpenlineError(Code.UNAVAILABLE, "late")

    monkeypatch.setattr(node.broker, "enter", slow)
    entering = asyncio.create_task(node.presence.enter(bob, info=None))
    behind = asyncio.create_task(node.presence.leave(bob, linger=False))
    await asyncio.sleep(0.001)
    behind.cancel()
    late.set()
    with refused(Code.UNAVAILABLE):
        await entering
    with pytest.raises(asyncio.CancelledError):
        await behind
    assert node.presence._tails == {}


async def test_calls_are_made_a_few_at_a_time(node, monkeypatch):
    under_way, most = 0, 0
    enter = node.broker.enter

    async def watched(*arguments, **options):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await enter(*arguments, **options)

    monkeypatch.setattr(node.broker, "enter", watched)
    calls = [node.presence.enter(subscription(f"c{number}"), info=None) for number in range(200)]
    await asyncio.gather(*calls)
    assert most == CONCURRENT
