"""Channels without listeners stay for a while, and only so many of them."""

from __future__ import annotations

from services.gateway.hub.idle_channels import Lingering


def test_a_channel_stays_for_its_time():
    lingering = Lingering(30.0, 10)
    assert lingering.next is None
    lingering.keep("a", 0.0)
    lingering.keep("b", 5.0)
    assert lingering.next == 30.0
    assert lingering.over(29.9) == []
    assert lingering.over(30.0) == ["a"]
    assert lingering.over(40.0) == ["a", "b"]


def test_being_kept_again_gains_no_time():
    lingering = Lingering(30.0, 10)
    lingering.keep("a", 0.0)
    lingering.keep("a", 20.0)
    assert lingering.over(30.0) == ["a"]


def test_one_that_is_forgotten_is_not_over():
    lingering = Lingering(30.0, 10)
    lingering.keep("a", 0.0)
    lingering.forget("a")
    lingering.forget("a")
    assert lingering.over(99.0) == []


def test_of_too_many_the_oldest_are_over():
    lingering = Lingering(30.0, 2)
    for name in "abcd":
        lingering.keep(name, 0.0)
    assert lingering.over(0.0) == ["a", "b"]
