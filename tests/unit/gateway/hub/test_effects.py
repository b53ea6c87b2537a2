"""Calls that the hub wants: handed out once, and given up when nobody answers."""

from __future__ import annotations

from services.gateway.hub.effects import PendingCalls
from services.gateway.hub.port import LookCall, ReconnectCall

LOOK = LookCall(1, (), 10)
NEXT = LookCall(2, (), 10)


def asked() -> PendingCalls:
    calls = PendingCalls(15.0)
    calls.add(LOOK, 0.0)
    calls.add(NEXT, 1.0)
    calls.add(ReconnectCall(), 2.0)
    return calls


def test_calls_are_handed_out_once_in_their_order():
    calls = asked()
    assert calls.drain() == [LOOK, NEXT, ReconnectCall()]
    assert calls.drain() == []


def test_what_is_not_answered_in_time_is_overdue():
    calls = asked()
    assert calls.next == 15.0
    assert calls.overdue(14.9) == []
    assert calls.overdue(16.0) == [LOOK, NEXT]


def test_what_was_answered_is_never_overdue():
    calls = asked()
    for call in (LOOK, NEXT, NEXT, ReconnectCall()):
        calls.answered(call)
    assert calls.next is None
    assert calls.overdue(99.0) == []
