"""Joins, leaves, counts and typing of a channel, as its subscribers are sent them."""

from __future__ import annotations

import pytest

from services.gateway.fanout import presence_events as module
from services.gateway.fanout.wire_format import JSON
from services.gateway.session.native import NativeSession
from services.kernel.broker.port import Entry, EntryType
from services.kernel.domain.claims import Claims
from tests.support.gateway_host import ManualHost, RecordingConnection, brief


@pytest.fixture
def host():
    return ManualHost()


def member(host, channel="chat:a", user="bob", wire_format=JSON):
    """A native session in a channel, whose own news are read already."""
    session = NativeSession(host, RecordingConnection(host), wire_format)
    session.connection.start(session)
    session.start(Claims(sub=user))
    host.run()
    if channel:
        session.subscribe_by_server(channel)
        host.run()
    session.connection.payloads()
    return session


def heard(session):
    return brief(session.connection.events())


def signal(host, kind, fragment, channel="chat:a"):
    host.audiences[channel].signal(Entry(0, kind, channel, None, fragment))
    host.run()


def joins(count, connection="c"):
    return b'"user":"u","connection":"%b","count":%d,"users":%d' % (
        connection.encode(),
        count,
        count,
    )


def test_a_join_is_told_to_others(host):
    bob = member(host)
    signal(host, EntryType.JOIN, joins(3, connection=bob.id))
    signal(host, EntryType.LEAVE, joins(2))
    assert heard(bob) == ["leave"]


def test_in_a_large_room_only_the_number_is_told_and_once_a_second(host):
    bob = member(host)
    for count in range(201, 240):
        signal(host, EntryType.JOIN, joins(count))
    host.advance(0)
    assert [e["count"] for e in bob.connection.events()] == [239]
    for count in range(240, 250):
        signal(host, EntryType.JOIN, joins(count))
    host.advance(0.9)
    assert heard(bob) == []
    host.advance(0.2)
    (event,) = bob.connection.events()
    assert (event["type"], event["count"], event["users"]) == ("count", 249, 249)


def test_a_number_that_waits_is_void_when_the_room_has_become_small(host):
    bob = member(host)
    signal(host, EntryType.JOIN, joins(201))
    host.advance(0.1)
    signal(host, EntryType.JOIN, joins(202))
    signal(host, EntryType.LEAVE, joins(200))
    host.advance(3)
    assert [e["count"] for e in bob.connection.events()] == [201, 200]


def test_typing_is_passed_on_once_a_second_and_not_to_oneself(host):
    bob, amy = member(host), member(host, user="amy")
    signal(host, EntryType.TYPING, b'"user":"bob"')
    signal(host, EntryType.TYPING, b'"user":"bob"')
    signal(host, EntryType.TYPING, b'"user":null')
    assert (heard(bob), heard(amy)) == (["typing"], ["typing", "typing"])
    host.clock += 1
    signal(host, EntryType.TYPING, b'"user":"bob"')
    assert heard(amy) == ["typing"]


def test_who_typed_is_not_remembered_for_ever(host):
    member(host)
    for number in range(500):
        signal(host, EntryType.TYPING, b'"user":"u%d"' % number)
    assert len(host.audiences["chat:a"]._events._typed_at) <= module.ANNOUNCED_MEMBERS + 1
