"""At the limit a user's silent connections are asked whether they live; the dead ones make room."""

from __future__ import annotations

import pytest

from services.gateway.node.probes import EVERY, PATIENCE, SILENCE, Probes
from services.gateway.node.registry import Registry
from tests.support.bare_session import opened
from tests.support.gateway_host import ManualHost


class Fleet:
    """One gateway's probes, with a clock and timers of their own."""

    def __init__(self):
        self.host = ManualHost()
        self.registry = Registry()
        self.orders = []
        self.timers = []
        self.now = self.host.now() + 100
        self.probes = Probes(
            self.registry,
            now=lambda: self.now,
            call_later=lambda seconds, call: self.timers.append((self.now + seconds, call)),
            order=self.orders.append,
        )

    def member(self, user, *, silent):
        session = opened(self.host, user)
        session.connection.last_received = self.now - silent
        self.registry.add(session)
        return session

    def later(self, seconds):
        self.now += seconds
        due = [one for one in self.timers if one[0] <= self.now]
        self.timers = [one for one in self.timers if one[0] > self.now]
        for _, call in due:
            call()


@pytest.fixture
def fleet():
    return Fleet()


def test_who_does_not_answer_is_ended_and_nobody_else(fleet):
    dead, alive = fleet.member("bob", silent=20), fleet.member("bob", silent=20)
    awake, amy = fleet.member("bob", silent=SILENCE / 2), fleet.member("amy", silent=20)
    fleet.probes.probe("bob")
    assert [s.connection.pings for s in (dead, alive, awake, amy)] == [1, 1, 0, 0]
    alive.connection.last_received = fleet.now
    fleet.later(PATIENCE - 0.1)
    assert not dead.is_closed
    fleet.later(0.2)
    assert [s.connection.code for s in (dead, alive, awake, amy)] == [4102, None, None, None]


def test_nothing_waits_where_nobody_is_silent(fleet):
    fleet.member("bob", silent=0)
    fleet.probes.probe("bob")
    assert fleet.timers == []


def test_the_fleet_is_asked_once_a_second_about_a_user(fleet):
    for _ in range(5):
        fleet.probes.order("bob")
        fleet.probes.order("amy")
    assert fleet.orders == ["bob", "amy"]
    fleet.later(EVERY / 2)
    fleet.probes.order("eve")
    fleet.later(EVERY / 2)
    fleet.probes.order("bob")
    fleet.probes.order("eve")
    assert fleet.orders == ["bob", "amy", "eve", "bob"]
    assert len(fleet.probes._ordered) == 2, "what was asked long ago is forgotten"
