"""Channels without listeners stay for a while, and only so many of them."""

from __future__ import annotations

from services.gateway.hub.idle_channels import IdleChannels


def test_a_channel_stays_for_its_time():
    idle_most = IdleChannels(30.0, 10)
    assert idle_most.next is None
    idle_most.keep("a", 0.0)
    idle_most.keep("b", 5.0)
    assert idle_most.next == 30.0
    assert idle_most.over(29.9) == []
    assert idle_most.over(30.0) == ["a"]
    assert idle_most.over(40.0) == ["a", "b"]


def test_being_kept_again_gains_no_time():
    idle_most = IdleChannels(30.0, 10)
    idle_most.keep("a", 0.0)
    idle_most.keep("a", 20.0)
    assert idle_most.over(30.0) == ["a"]


def test_one_that_is_forgotten_is_not_over():
    idle_most = IdleChannels(30.0, 10)
    idle_most.keep("a", 0.0)
    idle_most.forget("a")
    idle_most.forget("a")
    assert idle_most.over(99.0) == []


def test_of_too_many_the_oldest_are_over():
    idle_most = IdleChannels(30.0, 2)
    for name in "abcd":
        idle_most.keep(name, 0.0)
    assert idle_most.over(0.0) == ["a", "b"]
