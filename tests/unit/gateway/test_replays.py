"""What was sent at once and not read yet, over all connections."""

from __future__ import annotations

from services.gateway.replays import Replays


def test_together_they_are_bounded():
    replays = Replays(100)
    assert replays.admit(60)
    replays.hold("a", 60)
    assert replays.admit(40)
    assert not replays.admit(41)
    replays.hold("b", 40)
    replays.hold("a", 5)
    assert not replays.admit(1)
    replays.release("a")
    assert replays.admit(60)
    assert not replays.admit(61)


def test_one_alone_may_be_larger():
    replays = Replays(100)
    assert replays.admit(1000)
    replays.hold("a", 1000)
    assert not replays.admit(1)
    replays.release("a")
    replays.release("a")
    assert replays.admit(1000)
