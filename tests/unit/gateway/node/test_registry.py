"""Who is here, by connection and by user."""

from __future__ import annotations

from services.gateway.node.registry import Registry
from tests.support.bare_session import fresh, opened
from tests.support.gateway_host import ManualHost


def test_sessions_are_found_by_connection_and_by_user():
    host, registry = ManualHost(), Registry()
    one, two, nobody = opened(host), opened(host), opened(host, None)
    for session in (one, two, nobody):
        registry.add(session)
    assert (len(registry), list(registry)) == (3, [one, two, nobody])
    assert (registry.get(one.id), registry.get("elsewhere")) == (one, None)
    assert (set(registry.of("bob")), registry.of("amy")) == ({one, two}, [])
    assert registry.counts() == {"bob": 2}
    registry.remove(one)
    assert (len(registry), registry.accepted) == (2, 3)


def test_one_connection_of_a_user():
    host, registry = ManualHost(), Registry()
    amy, bob = opened(host, "amy"), opened(host)
    registry.add(amy)
    registry.add(bob)
    assert (registry.of("amy"), registry.counts()) == ([amy], {"amy": 1, "bob": 1})
    assert registry.remove(amy)
    assert (registry.of("amy"), registry.counts()) == ([], {"bob": 1})


def test_nothing_is_kept_of_who_has_left():
    host, registry = ManualHost(), Registry()
    one, two, nobody = opened(host), opened(host), opened(host, None)
    for session in (one, two, nobody):
        registry.add(session)
    assert [registry.remove(session) for session in (one, nobody, one)] == [True, True, False]
    assert registry.counts() == {"bob": 1}
    assert registry.remove(two)
    assert (registry.counts(), len(registry)) == ({}, 0)
    assert not registry.remove(fresh(host))


def test_sessions_may_leave_while_it_is_gone_through():
    host, registry = ManualHost(), Registry()
    for _ in range(3):
        registry.add(opened(host))
    assert [registry.remove(session) for session in registry] == [True] * 3
