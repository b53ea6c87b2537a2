"""A gateway that leaves: everybody is told, has time to go, and is closed at a moment of its own."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.node import drain as module
from services.gateway.node.drain import OrderedDrain, drain
from services.gateway.node.registry import Registry
from services.kernel.domain.control import DrainNode, UndoDrain
from tests.support.bare_session import Bare, kinds, opened
from tests.support.gateway_host import ManualHost
from tests.support.waiting import until


class Timed(Bare):
    """Remembers when it was closed."""

    __slots__ = ("ended_at",)

    def close(self, code, reason=""):
        self.ended_at = asyncio.get_running_loop().time()
        super().close(code, reason)


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(module, "SLOT", 0.01)
    return ManualHost()


def crowd(host, number):
    registry = Registry()
    for _ in range(number):
        registry.add(opened(host, kind=Timed))
    return registry, list(registry)


async def test_everybody_is_told_at_once_and_has_the_time_that_was_named(host):
    registry, sessions = crowd(host, 5)
    began = asyncio.get_running_loop().time()
    draining = asyncio.create_task(drain(registry, 0.2, drained=host.metrics.drained))
    await asyncio.sleep(0)
    events = [session.connection.events() for session in sessions]
    assert events == [[{"type": "reconnect", "within": 0.1}]] * 5
    frames = {id(session.connection.sent[-1]) for session in sessions}
    assert len(frames) == 1  # encoded once for all who speak alike
    await draining
    ends = sorted(session.ended_at - began for session in sessions)
    assert ends[0] >= 0.1
    assert ends[-1] >= ends[0] + 0.05, "one after another"
    assert [session.connection.code for session in sessions] == [4100] * 5


async def test_who_goes_by_itself_is_counted_as_moved_and_who_came_late_is_closed(host):
    registry, sessions = crowd(host, 4)
    drained = host.metrics.drained
    draining = asyncio.create_task(drain(registry, 0.4, drained=drained))
    await asyncio.sleep(0)
    sessions[0].closed(1000, "", clean=True)
    late = opened(host)
    registry.add(late)
    await until(lambda: any(session.connection.code for session in sessions))
    next(s for s in sessions if not s.is_closed).closed(1000, "", clean=True)
    await draining
    assert sorted(s.connection.code or 0 for s in [*sessions, late]) == [0, 0, 4100, 4100, 4100]
    assert drained.labels("moved")._value.get() == 2
    assert drained.labels("closed")._value.get() == 3


async def test_it_is_over_when_nobody_is_left(host):
    registry, sessions = crowd(host, 2)
    drained = host.metrics.drained
    draining = asyncio.create_task(drain(registry, 600, drained=drained))
    await asyncio.sleep(0)
    for session in sessions:
        registry.remove(session)
        session.closed(1000, "", clean=True)
    await asyncio.wait_for(draining, 5)
    assert drained.labels("moved")._value.get() == 2
    await asyncio.wait_for(drain(Registry(), 600, drained=drained), 5)


async def test_in_no_time_everybody_is_closed_at_once(host):
    registry, sessions = crowd(host, 3)
    await drain(registry, 0, drained=host.metrics.drained)
    assert [kinds(session) for session in sessions] == [["reconnect"]] * 3
    assert [session.connection.code for session in sessions] == [4100] * 3


# By name


def ordered(host, registry):
    spawn = asyncio.get_running_loop().create_task
    return OrderedDrain("here", registry, drained=host.metrics.drained, spawn=spawn)


async def test_a_drain_by_name_moves_everybody_and_goes_on_until_it_is_undone(host):
    registry, sessions = crowd(host, 3)
    here = ordered(host, registry)
    for _ in range(2):
        here.handle(DrainNode(node="here", within=0.05))
    await until(lambda: all(session.is_closed for session in sessions))
    assert [session.connection.events() for session in sessions] == [
        [{"type": "reconnect", "within": 0.05}]
    ] * 3
    assert here.active
    here.handle(UndoDrain(node="here"))
    assert not here.active


async def test_what_is_meant_for_another_gateway_changes_nothing(host):
    registry, sessions = crowd(host, 1)
    here = ordered(host, registry)
    here.handle(DrainNode(node="there", within=0))
    assert (here.active, here._moving) == (False, None)
    here.handle(DrainNode(node="here", within=60))
    here.handle(UndoDrain(node="there"))
    assert here.active
    here.stop()
    assert not sessions[0].is_closed


async def test_who_was_not_closed_yet_stays_when_it_is_undone(host):
    registry, (session,) = crowd(host, 1)
    here = ordered(host, registry)
    here.handle(DrainNode(node="here", within=60))
    await until(session.connection.events)
    moving = here._moving
    here.handle(UndoDrain(node="here"))
    here.handle(UndoDrain(node="here"))
    await until(moving.done)
    assert (moving.cancelled(), session.is_closed) == (True, False)
