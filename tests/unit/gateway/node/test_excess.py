"""Whether being over a limit lasts."""

from __future__ import annotations

from services.gateway.node.excess import Excess
from services.kernel.domain.codes import Code, connection_limit


def closes(excess, *times, who="bob"):
    """The close codes of refusals at these times."""
    return [connection_limit(excess.refusal(who, "at most 2", now)) for now in times]


def test_a_refusal_is_temporary_until_it_has_lasted_longer_than_a_lease():
    excess = Excess()
    assert closes(excess, 0, 3, 6, 6.1, 30) == [4104, 4104, 4104, 4006, 4006]
    assert closes(excess, 30, who="amy") == [4104]


def test_it_says_what_would_help():
    excess = Excess()
    first = excess.refusal("bob", "a user has at most 2 connections", 0)
    assert (first.code, first.temporary, first.retry_after) == (Code.RATE_LIMITED, True, 1)
    assert first.message.startswith("a user has at most 2 connections; close others, or come back")
    last = excess.refusal("bob", "a user has at most 2 connections", 7)
    assert (last.code, last.temporary) == (Code.LIMIT_EXCEEDED, False)
    assert last.message == "a user has at most 2 connections; close others first"


def test_room_in_between_begins_anew():
    excess = Excess()
    closes(excess, 0)
    excess.end("bob")
    excess.end("nobody")
    assert closes(excess, 7) == [4104]


def test_a_minute_without_a_refusal_begins_anew():
    excess = Excess()
    assert closes(excess, 0, 60, 121) == [4104, 4006, 4104]


def test_who_does_not_come_back_is_forgotten():
    excess = Excess()
    closes(excess, 0)
    closes(excess, 50, who="amy")
    excess.forget(61)
    assert list(excess._refused) == ["amy"]
