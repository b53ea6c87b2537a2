"""Deaf alone is told from an outage, by times alone."""

from __future__ import annotations

from types import SimpleNamespace

from services.gateway.hearing import Hearing


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
