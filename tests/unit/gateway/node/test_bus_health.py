"""A bus that is stalled here alone is told from an outage, by times alone."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec

from services.gateway.node.bus_health import BusHealth, healthy_peer_exists


def bus_health(*beaten_at):
    return BusHealth([SimpleNamespace(partition=n, beaten_at=at) for n, at in enumerate(beaten_at)])


def test_a_canary_is_not_missed_before_it_is_waited_for():
    here = bus_health(100)
    assert (here.stalled(200), here.age(0, 200), here.lag(200)) == ([], 0, 0)
    here.acknowledged(0, 200)
    here.acknowledged(0, 204)
    assert here.age(0, 205) == 5


def test_the_first_answer_is_told_from_the_rest_and_a_canary_proves_the_bus():
    here = bus_health(100, 100)
    assert [here.acknowledged(0, 100), here.acknowledged(0, 101)] == [True, False]
    here.canary_came(0, 101)
    assert not here.proven
    here.canary_came(1, 101)
    assert here.proven


def test_after_an_outage_it_is_waited_for_anew():
    here = bus_health(160)
    here.acknowledged(0, 100)
    here.canary_came(0, 101)
    here.acknowledged(0, 160)
    assert (here.stalled(161), here.age(0, 161)) == ([], 1)


def test_it_stays_stalled_while_connections_are_made_anew_now_and_then():
    here = bus_health(100)
    retried = []
    for now in range(100, 140):
        here.acknowledged(0, now)
        here._workers[0].beaten_at = now
        if here.retry(0, now):
            retried.append(now)
        assert here.stalled(now) == ([0] if now > 110 else [])
    assert retried == [111, 121, 131]
    here.canary_came(0, 140)
    assert (here.stalled(140), here.retry(0, 141)) == ([], False)


def test_beats_are_answered_but_the_bus_is_silent():
    here = bus_health(111, 111)
    here.canary_came(0, 100)
    here.canary_came(1, 110)
    assert (here.stalled(110), here.stalled(111)) == ([], [0])
    assert here.unavailable(111) == []
    here.canary_came(0, 111)
    assert here.stalled(111) == []


def test_when_beats_are_not_answered_either_the_store_is_unavailable():
    here = bus_health(100, 109)
    here.canary_came(0, 90)
    assert (here.stalled(111), here.unavailable(111)) == ([], [0])


def test_a_store_that_misses_two_heartbeats_is_unavailable():
    assert bus_health(100).unavailable(102.4) == []
    assert bus_health(100).unavailable(102.6) == [0]


def test_the_worst_partition_tells_the_lag():
    here = bus_health(100, 100)
    here.canary_came(0, 100)
    here.canary_came(1, 97)
    assert here.lag(100.5) == 2.5
    assert bus_health().lag(100) == 0


def test_it_is_lost_when_connections_that_were_made_anew_have_not_helped():
    here = bus_health(100, 100)
    for now in range(100, 132):
        for partition in (0, 1):
            here.acknowledged(partition, now)
            here._workers[partition].beaten_at = now
        here.canary_came(1, now)
        assert here.lost(now) == ([0] if now > 130 else [])
    here.canary_came(0, 131)
    assert here.lost(131) == []


def test_who_was_paused_or_cut_off_from_the_store_is_not_lost():
    here = bus_health(100)
    here.acknowledged(0, 100)
    assert here.lost(200) == []  # it goes on, and no beat was answered yet
    here.acknowledged(0, 200)
    here._workers[0].beaten_at = 200
    assert here.lost(200) == []


def told(node, **fields):
    return msgspec.json.encode({"node": node, "connections": 1, "version": "1", **fields})


def test_a_healthy_peer_is_another_that_receives_the_bus_and_takes_clients():
    here, late = told("here", lag=0), told("late", lag=5)
    assert not healthy_peer_exists([], "here")
    assert not healthy_peer_exists([here, late, told("leaves", lag=0, draining=True)], "here")
    assert healthy_peer_exists([here, late, told("there", lag=4.9, draining=False)], "here")
