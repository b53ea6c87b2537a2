"""A gateway that stays deaf moves its clients to others that hear, and takes none until it hears again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from services.gateway.node import drain as drain_module
from services.gateway.node.bus_health import Hearing
from services.gateway.node.evacuation import Evacuation
from services.gateway.node.registry import Roster
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import Beat
from tests.support.bare_session import kinds, opened
from tests.support.gateway_host import ManualHost


class Deaf:
    """A gateway with two clients, deaf in the second of two partitions for half a minute; another one beats."""

    def __init__(self):
        self.host = ManualHost()
        self.broker = MemoryBroker()
        self.roster = Roster()
        self.now = 131.0
        self.lines = [SimpleNamespace(partition=n, beaten_at=131.0) for n in range(2)]
        self.hearing = Hearing(self.lines)
        self.hearing.hear(0, 131)
        self.hearing.hear(1, 100)
        self.evacuation = Evacuation(
            self.hearing,
            self.roster,
            self.broker,
            name="here",
            seconds=0.05,
            metrics=self.host.metrics,
            now=lambda: self.now,
        )

    async def others(self, lag=0.0):
        told = b'{"node":"there","lag":%g,"draining":false}' % lag
        await self.broker.beat(0, Beat(incarnation="there", node=told))

    def come(self):
        session = opened(self.host)
        self.roster.add(session)
        return session

    @property
    def count(self):
        return self.host.metrics.evacuations._value.get()


@pytest.fixture
def deaf(monkeypatch):
    monkeypatch.setattr(drain_module, "SLOT", 0.01)
    return Deaf()


async def test_clients_are_told_and_closed_until_it_hears_again(deaf):
    await deaf.others()
    sessions = [deaf.come() for _ in range(2)]
    assert (deaf.evacuation.due, deaf.evacuation.active) == (True, False)
    moving = asyncio.create_task(deaf.evacuation.run())
    await asyncio.sleep(0)
    assert (deaf.evacuation.due, deaf.evacuation.active) == (False, True)
    deaf.evacuation.heard(1)
    assert deaf.evacuation.active  # those who are told to go would come back to be closed
    await moving
    assert [kinds(session) for session in sessions] == [["reconnect"]] * 2
    assert [session.connection.code for session in sessions] == [4100] * 2
    for session in sessions:
        deaf.roster.remove(session)
    assert (deaf.evacuation.due, deaf.evacuation.active, deaf.count) == (False, True, 1)
    deaf.evacuation.heard(0)
    assert deaf.evacuation.active
    deaf.evacuation.heard(1)
    assert not deaf.evacuation.active


async def test_who_opens_afterwards_has_to_go_too(deaf):
    await deaf.others()
    await deaf.evacuation.run()
    assert not deaf.evacuation.due
    late = deaf.come()
    assert deaf.evacuation.due
    await deaf.evacuation.run()
    assert (late.connection.code, deaf.count) == (4100, 1)


async def test_nobody_is_moved_while_no_other_gateway_hears(deaf):
    session = deaf.come()
    await deaf.evacuation.run()
    await deaf.others(lag=30)
    await deaf.evacuation.run()
    deaf.broker.down = True
    await deaf.evacuation.run()
    assert (session.is_closed, deaf.evacuation.active, deaf.count) == (False, False, 0)
    assert deaf.evacuation.due


async def test_nobody_is_moved_when_it_hears_before_the_others_have_answered(deaf):
    await deaf.others()
    session = deaf.come()
    moving = asyncio.create_task(deaf.evacuation.run())
    deaf.hearing.hear(1, 131)
    await moving
    assert (session.is_closed, deaf.evacuation.active) == (False, False)
    assert not deaf.evacuation.due


@pytest.mark.parametrize(("heard", "beaten"), [(101.5, 131), (100, 120)])
def test_it_is_not_due_before_its_time_or_while_the_store_is_away(deaf, heard, beaten):
    deaf.hearing.hear(1, heard)
    deaf.lines[1].beaten_at = beaten
    assert not deaf.evacuation.due
