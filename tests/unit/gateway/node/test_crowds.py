"""Addresses that many connections come from are told to the fleet, others are not."""

from __future__ import annotations

from services.gateway.node.crowds import Crowds


def test_an_address_is_told_from_a_hundredth_of_the_limit_on():
    crowds = Crowds(300)
    crowds.came("a", 2, "second")
    assert crowds.report() == ({}, {})
    crowds.came("a", 3, "third")
    crowds.came("a", 4, "fourth")
    assert crowds.report() == ({"a": 4}, {"a": ["third", "fourth"]})
    assert crowds.report() == ({}, {})


def test_a_crowd_that_becomes_small_is_told_once_as_none():
    crowds = Crowds(300)
    crowds.left("a", 3)
    assert crowds.report() == ({"a": 3}, {})
    crowds.left("a", 2)
    assert crowds.report() == ({"a": 0}, {})
    crowds.left("a", 1)
    assert crowds.report() == ({}, {})


def test_under_a_small_limit_every_address_counts():
    crowds = Crowds(1)
    crowds.came("a", 1, "first")
    assert crowds.report() == ({"a": 1}, {"a": ["first"]})


def test_all_crowds_are_told_again_when_the_fleet_has_forgotten_them():
    crowds = Crowds(300)
    crowds.recount({"a": 3, "b": 2})
    assert crowds.report() == ({"a": 3}, {})
