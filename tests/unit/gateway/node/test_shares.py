"""Shares of the fleet's rates: what is taken, what is told, what others have taken."""

from __future__ import annotations

from services.gateway.node.shares import Shares


def shares(*, least: float = 0) -> Shares:
    return Shares(rate=10, burst=5, least=least)


def test_what_is_taken_is_reported_once():
    counted = shares()
    assert [counted.spend("bob", 0) for _ in range(5)] == [0] * 5
    assert counted.spend("bob", 0) == 0.1
    assert counted.spend("bob", 0.1) == 0
    assert counted.report() == {"bob": 6}
    assert counted.report() == {}


def test_what_others_have_taken_counts():
    counted = shares()
    counted.spend("bob", 0)
    counted.report()
    counted.spend("bob", 0)
    counted.learn({"bob": 2, "somebody": 1}, 0)
    assert counted.spend("bob", 0) == 0  # one of the two was used since the report
    assert counted.spend("bob", 0) > 0


def test_who_has_overdrawn_waits_longer():
    counted = shares()
    counted.spend("bob", 0)
    counted.report()
    counted.learn({"bob": -4}, 0)
    assert counted.spend("bob", 0) == 0.5


def test_little_is_told_when_it_has_become_more():
    counted = shares(least=4)
    counted.spend("bob", 0, 3)
    counted.spend("amy", 0, 5)
    assert counted.report() == {"amy": 5}
    counted.spend("bob", 0, 2)
    assert counted.report() == {"bob": 5}


def test_buckets_that_are_full_again_are_forgotten():
    counted = shares(least=100)
    counted.spend("bob", 0)
    counted.spend("amy", 10)
    counted.forget_full(10)
    assert len(counted) == 1
    counted.forget_full(10.5)
    assert len(counted) == 1, "one look a second is enough"
    counted.forget_full(12)
    assert (len(counted), counted.report()) == (0, {})


def test_of_several_gateways_each_hands_out_its_part_and_what_is_left_comes_with_the_answer():
    counted = Shares(rate=10, burst=400)
    counted.divide(4)
    assert counted.spend("bob", 0, 100) == 0
    assert counted.spend("bob", 0) > 0
    assert counted.report() == {"bob": 100}
    counted.learn({"bob": 300}, 0.25)
    assert counted.spend("bob", 0.25, 100) == 0
    assert counted.spend("bob", 0.25) > 0
    counted.report()
    counted.learn({"bob": 20}, 0.5)
    assert counted.spend("bob", 0.5, 20) == 0
    assert counted.spend("bob", 0.5) > 0


def test_a_part_is_never_below_what_one_connection_may_have():
    counted = Shares(rate=10, burst=400, floor=200)
    counted.divide(64)
    assert counted.spend("bob", 0, 200) == 0
    assert Shares(rate=10, burst=4, floor=200).spend("bob", 0, 4) == 0


def test_a_part_grows_when_gateways_have_gone():
    counted = Shares(rate=10, burst=400)
    counted.divide(4)
    counted.spend("bob", 0)
    counted.report()
    counted.divide(0)
    counted.learn({"bob": 399}, 0)
    assert counted.spend("bob", 0, 399) == 0
