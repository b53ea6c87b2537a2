"""Deaf alone is told from an outage, by times alone."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec

from services.gateway.node.bus_health import Hearing, refuge


def hearing(*beaten_at):
    return Hearing([SimpleNamespace(partition=n, beaten_at=at) for n, at in enumerate(beaten_at)])


def test_a_canary_is_not_missed_before_it_is_waited_for():
    here = hearing(100)
    assert (here.deaf(200), here.age(0, 200), here.lag(200)) == ([], 0, 0)
    here.answered(0, 200)
    here.answered(0, 204)
    assert here.age(0, 205) == 5


def test_after_an_outage_it_is_waited_for_anew():
    here = hearing(160)
    here.answered(0, 100)
    here.hear(0, 101)
    here.answered(0, 160)
    assert (here.deaf(161), here.age(0, 161)) == ([], 1)


def test_deaf_it_stays_deaf_while_connections_are_made_anew_now_and_then():
    here = hearing(100)
    retried = []
    for now in range(100, 140):
        here.answered(0, now)
        here._lines[0].beaten_at = now
        if here.retry(0, now):
            retried.append(now)
        assert here.deaf(now) == ([0] if now > 110 else [])
    assert retried == [111, 121, 131]
    here.hear(0, 140)
    assert (here.deaf(140), here.retry(0, 141)) == ([], False)


def test_beats_are_answered_but_the_bus_is_silent():
    here = hearing(111, 111)
    here.hear(0, 100)
    here.hear(1, 110)
    assert (here.deaf(110), here.deaf(111)) == ([], [0])
    assert here.away(111) == []
    here.hear(0, 111)
    assert here.deaf(111) == []


def test_when_beats_are_not_answered_either_the_store_is_away():
    here = hearing(100, 109)
    here.hear(0, 90)
    assert (here.deaf(111), here.away(111)) == ([], [0])


def test_the_worst_partition_tells_the_lag():
    here = hearing(100, 100)
    here.hear(0, 100)
    here.hear(1, 97)
    assert here.lag(100.5) == 2.5
    assert hearing().lag(100) == 0


def test_it_is_lost_when_connections_that_were_made_anew_have_not_helped():
    here = hearing(100, 100)
    for now in range(100, 132):
        for partition in (0, 1):
            here.answered(partition, now)
            here._lines[partition].beaten_at = now
        here.hear(1, now)
        assert here.lost(now) == ([0] if now > 130 else [])
    here.hear(0, 131)
    assert here.lost(131) == []


def test_who_was_paused_or_cut_off_from_the_store_is_not_lost():
    here = hearing(100)
    here.answered(0, 100)
    assert here.lost(200) == []  # it goes on, and no beat was answered yet
    here.answered(0, 200)
    here._lines[0].beaten_at = 200
    assert here.lost(200) == []


def told(node, **fields):
    return msgspec.json.encode({"node": node, "connections": 1, "version": "1", **fields})


def test_a_refuge_is_another_that_hears_and_takes_clients():
    here, deaf = told("here", lag=0), told("deaf", lag=5)
    assert not refuge([], "here")
    assert not refuge([here, deaf, told("leaves", lag=0, draining=True)], "here")
    assert refuge([here, deaf, told("there", lag=4.9, draining=False)], "here")
