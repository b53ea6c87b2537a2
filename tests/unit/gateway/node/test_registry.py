"""Who is here, by connection and by user."""

from __future__ import annotations

from services.gateway.node.registry import Roster
from tests.support.bare_session import fresh, opened
from tests.support.gateway_host import ManualHost


def test_sessions_are_found_by_connection_and_by_user():
    host, roster = ManualHost(), Roster()
    one, two, nobody = opened(host), opened(host), opened(host, None)
    for session in (one, two, nobody):
        roster.add(session)
    assert (len(roster), list(roster)) == (3, [one, two, nobody])
    assert (roster.get(one.id), roster.get("elsewhere")) == (one, None)
    assert (set(roster.of("bob")), roster.of("amy")) == ({one, two}, [])
    assert roster.counts() == {"bob": 2}


def test_one_connection_of_a_user():
    host, roster = ManualHost(), Roster()
    amy, bob = opened(host, "amy"), opened(host)
    roster.add(amy)
    roster.add(bob)
    assert (roster.of("amy"), roster.counts()) == ([amy], {"amy": 1, "bob": 1})
    assert roster.remove(amy)
    assert (roster.of("amy"), roster.counts()) == ([], {"bob": 1})


def test_nothing_is_kept_of_who_has_left():
    host, roster = ManualHost(), Roster()
    one, two, nobody = opened(host), opened(host), opened(host, None)
    for session in (one, two, nobody):
        roster.add(session)
    assert [roster.remove(session) for session in (one, nobody, one)] == [True, True, False]
    assert roster.counts() == {"bob": 1}
    assert roster.remove(two)
    assert (roster.counts(), len(roster)) == ({}, 0)
    assert not roster.remove(fresh(host))


def test_sessions_may_leave_while_it_is_gone_through():
    host, roster = ManualHost(), Roster()
    for _ in range(3):
        roster.add(opened(host))
    assert [roster.remove(session) for session in roster] == [True] * 3
