"""What a session collects before it can be told `connected`."""

from __future__ import annotations

from services.gateway.fanout.opening import Opening


def test_the_last_answer_ends_the_wait():
    opening = Opening()
    opening.awaited = {"a", "b"}
    assert opening.awaits("a")
    assert not opening.answered("a")
    assert not opening.awaits("a")
    assert opening.answered("b")


def test_no_more_is_held_than_allowed():
    opening = Opening()
    assert opening.hold(b"12345", allowance=10)
    assert opening.hold(b"12345", allowance=10)
    assert not opening.hold(b"1", allowance=10)
    assert opening.frames == b"1234512345"
