"""Large replays that were not read yet, over all connections."""

from __future__ import annotations

from services.gateway.fanout.replay_budget import PATIENCE, Replays


def test_together_they_are_bounded():
    replays = Replays(100)
    assert replays.admit(60)
    replays.hold("a", 60, 0)
    assert replays.admit(40)
    assert not replays.admit(41)
    replays.hold("b", 40, 1)
    replays.hold("a", 5, 2)
    assert not replays.admit(1)
    replays.release("a")
    assert replays.admit(60)
    assert not replays.admit(61)


def test_one_alone_may_be_larger():
    replays = Replays(100)
    assert replays.admit(1000)
    replays.hold("a", 1000, 0)
    assert not replays.admit(1)
    replays.release("a")
    replays.release("a")
    assert replays.admit(1000)


def test_who_does_not_read_for_long_is_overdue():
    replays = Replays(100)
    replays.hold("a", 10, 0)
    replays.hold("b", 10, 5)
    replays.hold("a", 10, 50)
    assert replays.overdue(PATIENCE - 1) == []
    assert replays.overdue(PATIENCE) == ["a"]
    assert replays.overdue(PATIENCE + 5) == ["a", "b"]
