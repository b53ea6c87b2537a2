"""A bus that is stalled here alone is told from an outage, by positions and times alone."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec

from services.gateway.node.bus_health import BusHealth, healthy_peer_exists
from services.kernel.broker.port import Beaten


class Buses:
    """Partitions at their positions; `beat` lets one be answered."""

    def __init__(self, *beaten_at):
        self.workers = [
            SimpleNamespace(partition=n, beaten_at=at, position=0) for n, at in enumerate(beaten_at)
        ]
        self.health = BusHealth(self.workers)

    def beat(self, now, bus, *, partition=0, history="H"):
        self.workers[partition].beaten_at = now
        return self.health.acknowledged(partition, Beaten(history=history, bus=bus), now)

    def read(self, position, *, partition=0):
        self.workers[partition].position = position


def test_nothing_is_missed_before_a_beat_has_told_of_it():
    at = Buses(100)
    assert (at.health.stalled(200), at.health.age(0, 200), at.health.lag(200)) == ([], 0, 0)
    at.beat(200, 5)
    assert at.health.age(0, 205) == 5
    at.read(5)
    assert at.health.age(0, 205) == 0


def test_the_first_answer_is_told_from_the_rest_and_a_canary_proves_the_bus():
    at = Buses(100, 100)
    assert [at.beat(100, 1), at.beat(101, 2)] == [True, False]
    at.health.canary_came(0, 101)
    assert (at.health.is_proven(0), at.health.is_proven(1), at.health.proven) == (
        True,
        False,
        False,
    )
    at.health.canary_came(1, 101)
    assert at.health.proven


def test_the_age_of_the_last_canary_counts_from_when_one_is_waited_for():
    at = Buses(100)
    assert at.health.canary_age(0, 100) == 0
    at.beat(100, 1)
    assert at.health.canary_age(0, 103) == 3
    at.health.canary_came(0, 103)
    at.beat(104, 1)
    assert at.health.canary_age(0, 105) == 2
    at.beat(150, 1)
    assert at.health.canary_age(0, 151) == 1


def test_a_reader_that_is_late_is_as_old_as_the_oldest_that_has_not_arrived():
    at = Buses(100)
    for second in range(6):
        at.beat(100 + second, 10 * second)
    assert at.health.lag(105) == 4  # 0 had arrived
    at.read(35)
    assert at.health.lag(105) == 1
    at.read(50)
    assert at.health.lag(105) == 0


def test_after_an_outage_it_is_waited_for_anew():
    at = Buses(100)
    at.beat(100, 5)
    at.beat(160, 6)
    assert (at.health.stalled(161), at.health.age(0, 161)) == ([], 1)


def test_what_was_told_of_another_bus_is_not_waited_for():
    at = Buses(100)
    at.beat(100, 500)
    at.beat(101, 3, history="I")
    at.read(3)
    assert at.health.age(0, 105) == 0
    at.beat(102, 700, history="I")
    at.beat(103, 4, history="I")  # the same history, whose newest part was lost
    at.read(4)
    assert at.health.age(0, 105) == 0


def test_it_stays_stalled_while_connections_are_made_anew_now_and_then():
    at = Buses(100)
    retried = []
    for now in range(100, 200):
        at.beat(now, now)
        if at.health.retry(0, now):
            retried.append(now)
        assert at.health.stalled(now) == ([0] if now > 110 else [])
    assert retried == list(range(111, 200, 10))
    at.read(199)
    assert (at.health.stalled(200), at.health.retry(0, 201)) == ([], False)


def test_beats_are_answered_but_the_bus_is_silent():
    at = Buses(100, 100)
    for now in range(100, 112):
        at.beat(now, now)
        at.beat(now, now, partition=1)
        at.read(now, partition=1)
    assert (at.health.stalled(110), at.health.stalled(111)) == ([], [0])
    assert at.health.unavailable(111) == []
    at.read(111)
    assert at.health.stalled(111) == []


def test_a_gateway_without_a_position_has_read_nothing():
    at = Buses(100)
    for now in range(100, 112):
        at.beat(now, 0)
        at.read(-1)
    assert at.health.stalled(111) == [0]


def test_when_beats_are_not_answered_either_the_store_is_unavailable():
    at = Buses(100, 109)
    at.beat(90, 5)
    at.workers[0].beaten_at = 100
    assert (at.health.stalled(111), at.health.unavailable(111)) == ([], [0])


def test_a_store_that_misses_two_heartbeats_is_unavailable():
    assert Buses(100).health.unavailable(102.4) == []
    assert Buses(100).health.unavailable(102.6) == [0]


def test_the_worst_partition_tells_the_lag():
    at = Buses(100, 100)
    at.beat(98, 9)
    at.beat(97, 9, partition=1)
    assert at.health.lag(100.5) == 3.5
    assert Buses().health.lag(100) == 0


def test_it_is_lost_when_connections_that_were_made_anew_have_not_helped():
    at = Buses(100, 100)
    for now in range(100, 132):
        for partition in (0, 1):
            at.beat(now, now, partition=partition)
        at.read(now, partition=1)
        assert at.health.lost(now) == ([0] if now > 130 else [])
    at.read(131)
    assert at.health.lost(131) == []


def test_who_was_paused_or_cut_off_from_the_store_is_not_lost():
    at = Buses(100)
    at.beat(100, 5)
    assert at.health.lost(200) == []  # it goes on, and no beat was answered yet
    at.beat(200, 6)
    assert at.health.lost(200) == []


def told(node, **fields):
    return msgspec.json.encode({"node": node, "connections": 1, "version": "1", **fields})


def test_a_healthy_peer_is_another_that_receives_the_bus_and_takes_clients():
    here, late = told("here", lag=0), told("late", lag=5)
    assert not healthy_peer_exists([], "here")
    assert not healthy_peer_exists([here, late, told("leaves", lag=0, draining=True)], "here")
    assert healthy_peer_exists([here, late, told("there", lag=4.9, draining=False)], "here")
