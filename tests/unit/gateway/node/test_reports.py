"""What a gateway tells the fleet: counts that have changed, again after an outage, and rates of users."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.node import reports as module
from services.gateway.node.quota import Quota
from services.gateway.node.reports import Reports
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import LEASE_SECONDS, Beat
from services.kernel.domain import channels
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from tests.support.bare_session import opened
from tests.support.gateway_host import ManualHost
from tests.support.waiting import until


@pytest.fixture
async def broker():
    broker = MemoryBroker()
    for name in ("here", "there"):
        await broker.beat(0, Beat(incarnation=name, node=b"{}"))
    return broker


def reports(broker, name="here", limits=None, *, now=lambda: 0.0, full=lambda _: None):
    limits = limits or Limits()
    quota = Quota(limits)
    return Reports(
        broker,
        limits,
        quota,
        incarnation=lambda: name,
        now=now,
        full=full,
        counted=quota.divide,
    )


def come(reports, user="bob", count=1):
    session = opened(ManualHost(), user)
    reports.connections(user, count)
    reports.newcomer(user, session)
    return session


async def test_the_last_count_is_told_once(broker):
    here = reports(broker)
    here.listeners("chat:a", 1)
    here.listeners("chat:a", 3)
    await here.send_counts()
    assert await broker.subscribers(["chat:a"]) == [3]
    broker.down = True
    await here.send_counts()  # nothing to tell


async def test_of_two_gateways_the_later_one_closes_what_is_too_much(broker):
    limits = Limits(connections_per_user=2)
    here, there = reports(broker, limits=limits), reports(broker, "there", limits)
    first = come(here, count=2)
    await here.send_counts()
    old, new = come(there, count=1), come(there, count=2)
    amy = come(there, "amy")
    await there.send_counts()
    assert [s.connection.code for s in (first, old, new, amy)] == [None, 4104, 4104, None]


async def test_of_two_gateways_that_report_at_once_the_later_one_closes_what_is_too_much(broker):
    limits, tell = Limits(connections_per_user=2, connections_per_address=2), broker.listeners
    here, there = reports(broker, limits=limits), reports(broker, "there", limits)
    both = asyncio.Barrier(2)

    async def at_once(*args, **kwargs):
        totals = await tell(*args, **kwargs)
        await both.wait()
        return totals

    broker.listeners = at_once
    sessions = [come(one, count=2) for one in (here, there)]
    strangers = [visit(one) for one in (here, there) for _ in range(2)]
    await asyncio.gather(here.send_counts(), there.send_counts())
    assert [session.connection.code for session in sessions].count(4104) == 1
    assert [stranger.code for stranger in strangers].count(4104) == 2


async def test_whose_connections_are_too_many_over_the_fleet_is_named(broker):
    limits, full = Limits(connections_per_user=2), []
    here, there = (reports(broker, name, limits, full=full.append) for name in ("here", "there"))
    come(here, count=2)
    await here.send_counts()
    assert full == []
    come(there, count=1)
    come(there, "amy", count=2)
    await there.send_counts()
    assert full == ["bob"]


async def test_who_is_over_the_limit_for_longer_than_a_lease_stays_away(broker):
    limits, clock = Limits(connections_per_user=1), [0.0]
    here = reports(broker, limits=limits, now=lambda: clock[0])

    async def closed(at, count):
        clock[0], session = at, come(here, count=count)
        await here.send_counts()
        return session.connection.code

    assert [await closed(0, 2), await closed(5, 2), await closed(7, 2)] == [4104, 4104, 4006]
    assert [await closed(8, 1), await closed(9, 2)] == [None, 4104]


async def test_without_limits_nobody_is_closed(broker):
    here = reports(broker, limits=Limits(connections_per_user=0, rates=False))
    session = come(here)
    await here.send_counts()
    assert not session.is_closed


async def test_while_the_store_is_away_counts_wait_and_those_who_left_are_forgotten(broker):
    here = reports(broker)
    broker.down = True
    goes, stays, amy = come(here), come(here, count=2), come(here, "amy")
    here.listeners("chat:a", 1)
    goes.closed(1006, "", False)
    amy.closed(1006, "", False)
    await here.send_counts()
    here.listeners("chat:a", 2)
    assert here._newcomers == {"bob": [stays]}
    broker.down = False
    await here.send_counts()
    assert await broker.subscribers(["chat:a", channels.connections("bob")]) == [2, 2]
    assert (here._counts, here._newcomers) == ({}, {})


async def test_a_count_that_changes_while_an_older_one_fails_is_the_one_that_is_told(broker):
    here = reports(broker)
    here.listeners("chat:a", 1)
    tell = broker.listeners

    async def fail(incarnation, counts, *, totals):
        here.listeners("chat:a", 0)
        broker.listeners = tell
        raise OpenlineError(Code.UNAVAILABLE, "away")

    broker.listeners = fail
    await here.send_counts()
    await here.send_counts()
    assert await broker.subscribers(["chat:a"]) == [0]


async def test_rates_are_shared_with_the_fleet(broker, monkeypatch):
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.001)
    limits = Limits(user_rate=0.001, user_burst=4)
    here, there = reports(broker, limits=limits), reports(broker, "there", limits)
    running = [asyncio.create_task(one.run()) for one in (here, there)]
    for _ in range(3):
        assert here._quota.commands.spend("bob", 0.0) == 0
    there._quota.commands.spend("bob", 0.0)
    await until(lambda: there._quota.commands.spend("bob", 0.0) > 0)
    broker.down = True
    here._quota.commands.spend("amy", 0.0)
    await until(lambda: not here._quota.commands.report())
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


class Stranger:
    """A connection of an address, which may be closed."""

    code: int | None = None

    def close(self, code: int, reason: str = "") -> None:
        self.code, self.reason = code, reason


def visit(reports, address="192.0.2.1"):
    stranger = Stranger()
    reports._quota.admit(address, 0.0)
    reports._quota.came(address, stranger)
    return stranger


async def test_an_address_has_as_many_over_the_fleet_as_on_one_gateway(broker):
    limits = Limits(connections_per_address=3)
    here, there = reports(broker, limits=limits), reports(broker, "there", limits)
    first = [visit(here), visit(here)]
    await here.send_counts()
    later = [visit(there), visit(there), visit(there, "192.0.2.2")]
    await there.send_counts()
    assert [stranger.code for stranger in (*first, *later)] == [None, None, None, 4104, None]
    assert "an address has at most 3 connections" in later[1].reason
    there._quota.release("192.0.2.1")
    await there.send_counts()
    assert await broker.subscribers([channels.address("192.0.2.1")]) == [3]


async def test_who_is_too_many_of_an_address_for_longer_than_a_lease_stays_away(broker):
    limits, now = Limits(connections_per_address=1), 0.0
    here, there = (reports(broker, name, limits, now=lambda: now) for name in ("here", "there"))
    visit(here)
    await here.send_counts()
    codes = []
    for now in (1.0, 2.0 + LEASE_SECONDS):  # noqa: B007 - the reports' clock
        late = visit(there)
        await there.send_counts()
        there._quota.release("192.0.2.1")
        codes.append(late.code)
    assert codes == [4104, 4006]
    here._quota.release("192.0.2.1")
    await here.send_counts()
    fits = visit(there)
    await there.send_counts()
    assert fits.code is None


async def test_addresses_are_told_again_when_the_fleet_has_forgotten_them(broker):
    limits = Limits(connections_per_address=3)
    here = reports(broker, limits=limits)
    visit(here)
    await here.send_counts()
    await broker.listeners("here", {channels.address("192.0.2.1"): 0})
    here.again()
    await here.send_counts()
    assert await broker.subscribers([channels.address("192.0.2.1")]) == [1]


async def test_counts_of_addresses_wait_for_the_store(broker):
    here = reports(broker, limits=Limits(connections_per_address=1))
    visit(here)
    broker.down = True
    await here.send_counts()
    broker.down = False
    await here.send_counts()
    assert await broker.subscribers([channels.address("192.0.2.1")]) == [1]


async def test_without_limits_no_address_is_closed(broker):
    here = reports(broker, limits=Limits(connections_per_address=1, rates=False))
    strangers = [visit(here), visit(here)]
    await here.send_counts()
    assert [stranger.code for stranger in strangers] == [None, None]


async def test_the_gateways_of_the_fleet_share_a_users_burst(broker, monkeypatch):
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.001)
    limits = Limits(user_rate=0.001, user_burst=8, command_burst=2)
    here = reports(broker, limits=limits)
    running = asyncio.create_task(here.run())
    await until(lambda: here._quota.commands._part == 4)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [here._quota.commands.spend("bob", 0.0) > 0 for _ in range(5)] == [False] * 4 + [True]
