"""A gateway that has too many connections: whom it asks to go, and whom it turns away meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.node import drain as drain_module
from services.gateway.node import shedder as module
from services.gateway.node.registry import Registry
from services.gateway.node.shedder import HOLD_SECONDS, QUIET_SECONDS, Shedder
from services.kernel.domain.codes import Code, OpenlineError
from tests.support.bare_session import opened
from tests.support.gateway_host import ManualHost
from tests.support.waiting import until


class Fleet:
    """A broker that knows what another gateway tells."""

    def __init__(self):
        self.other = b'{"node":"there","uptime":99}'
        self.away = False

    async def nodes(self):
        if self.away:
            raise OpenlineError(Code.UNAVAILABLE, "away")
        return [self.other, b'{"node":"here","uptime":99}']


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(drain_module, "SLOT", 0.005)
    monkeypatch.setattr(module, "WITHIN_SECONDS", 0.02)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)


@pytest.fixture
def host():
    return ManualHost()


@pytest.fixture
def fleet():
    return Fleet()


def crowded(host, fleet, number=300):
    registry = Registry()
    for _ in range(number):
        registry.add(opened(host))
    host.clock += QUIET_SECONDS + 1
    tasks = []
    shedder = Shedder(
        fleet,
        registry,
        name="here",
        shed=host.metrics.shed,
        now=host.now,
        spawn=lambda work: tasks.append(asyncio.get_running_loop().create_task(work)),
    )
    return shedder, registry, tasks


async def looks(shedder, host, seconds=5):
    for _ in range(seconds):
        host.clock += 1
        await shedder.look()
        await asyncio.sleep(0)  # what it began begins


async def test_some_a_second_are_asked_to_go_and_those_that_stay_are_closed(host, fleet):
    shedder, registry, tasks = crowded(host, fleet)
    await looks(shedder, host)
    asked = [session for session in registry if session.connection.events()]
    assert len(asked) == 5, "a hundredth of 300, then of 297"
    await asyncio.gather(*tasks)
    assert [session.connection.code for session in asked] == [4100] * 5
    assert host.metrics.shed.labels("closed")._value.get() == 5


async def test_who_came_lately_or_is_busy_is_left_alone(host, fleet):
    shedder, registry, tasks = crowded(host, fleet, 200)
    sessions = list(registry)
    for session in sessions[:100]:
        shedder.newcomers.came(session.id, host.clock)
    for session in sessions[100:199]:
        session.connection.last_received = host.clock + 60
    await looks(shedder, host, 12)
    asked = [session for session in sessions if session.connection.events()]
    assert asked in ([], [sessions[199]]), "of whom some by chance are looked at"
    await asyncio.gather(*tasks)


async def test_newcomers_are_turned_away_until_those_that_go_have_gone(host, fleet):
    shedder, _, tasks = crowded(host, fleet)
    assert not shedder.turns_away
    await looks(shedder, host)
    assert shedder.turns_away
    fleet.other = b'{"node":"there","uptime":99,"connections":300}'
    await looks(shedder, host, 1)
    assert shedder.turns_away, "some are on their way"
    await asyncio.gather(*tasks)
    host.clock += HOLD_SECONDS
    assert not shedder.turns_away


@pytest.mark.parametrize("why", ["drain", "outage"])
async def test_nobody_is_turned_away_while_nobody_may_be_shed(host, fleet, why):
    shedder, _, tasks = crowded(host, fleet)
    await looks(shedder, host)
    if why == "drain":
        fleet.other = b'{"node":"there","uptime":99,"draining":true}'
    fleet.away = why == "outage"
    await looks(shedder, host, 1)
    assert not shedder.turns_away
    await asyncio.gather(*tasks)


async def test_it_looks_until_it_is_cancelled(host, fleet, monkeypatch):
    shedder, registry, tasks = crowded(host, fleet)
    running = asyncio.create_task(shedder.run())
    await until(lambda: shedder._shedding._accepted)
    running.cancel()
    await asyncio.gather(running, *tasks, return_exceptions=True)
    assert len(registry) == 300
