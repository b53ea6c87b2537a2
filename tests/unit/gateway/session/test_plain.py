"""The plain routes: one channel named by the URL, no commands to learn."""

from __future__ import annotations

import sys

import msgspec
import pytest

from services.gateway.session.plain import NotifySession, PlainSession, RoomSession
from services.kernel.broker.port import Member, Present
from services.kernel.domain.capabilities import parse as capabilities
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from tests.support.gateway_host import TABLES, ManualHost, RecordingConnection, brief


@pytest.fixture
def host():
    host = ManualHost()
    host.tokens["bob"] = Claims(sub="bob")
    return host


def fresh(host, channel="room:a", kind=RoomSession, **place):
    session = kind(
        host, RecordingConnection(host), channel=channel, **{"since": None, "last": 0, **place}
    )
    session.connection.start(session)
    session.schedule()
    return session


def opened(host, channel="room:a", kind=RoomSession, *, user="bob", **place):
    session = fresh(host, channel, kind, **place)
    session.start(Claims(sub=user))
    host.run()
    return session


def heard(session):
    session.node.run()
    session.node.advance(1)
    return brief(session.connection.events())


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.maxsize < 2**32, reason="other words"
)
def test_what_each_idle_connection_holds_does_not_grow_by_a_word(host):
    """The allocator gives memory in steps of 16 bytes; a session and a member are kept for each connection in a room."""
    assert sys.getsizeof(opened(host)) <= 224
    assert sys.getsizeof(Member(user="bob", connection="c1")) <= 64
    assert sys.getsizeof(Present(1, 1)) <= 32


# Rooms


def test_a_room_begins_with_where_it_is_and_how_many_are_there(host):
    (event,) = opened(host).connection.events()
    assert (event["type"], event["user"], event["offset"], event["count"]) == (
        "connected",
        "bob",
        0,
        1,
    )
    assert "recovered" not in event
    assert event["epoch"]


def test_a_room_without_presence_counts_nobody():
    room = {"publish": "members"}
    host = ManualHost(tables={**TABLES, "namespaces": {**TABLES["namespaces"], "room": room}})
    (event,) = opened(host).connection.events()
    assert "count" not in event


def test_what_is_typed_is_heard_by_all_and_comes_back(host):
    bob, amy = opened(host), opened(host, user="amy")
    bob.connection.events()
    amy.connection.events()
    bob.received_text(b'{"text":"hi"}')
    bob.received_text(b"no JSON")
    host.run()
    host.advance(1)
    for session in (bob, amy):
        events = session.connection.events()
        assert [e["data"] for e in events if e["type"] == "message"] == [
            {"text": "hi"},
            {"text": "no JSON"},
        ]
        assert not any("channel" in event for event in events)


def test_last_and_since(host):
    for number in range(4):
        host.publish_http("room:a", number)
    assert heard(opened(host, last=2)) == ["connected", 3, 4]
    epoch = host.position("room:a").epoch
    session = opened(host, since=Position(epoch, 1))
    events = session.connection.events()
    assert (events[0]["recovered"], brief(events)) == (True, ["connected", 2, 3, 4])
    (event,) = opened(host, since=Position("other", 1)).connection.events()
    assert (event["recovered"], event["began"], event["offset"]) == (False, 0, 4)


def test_a_room_whose_last_messages_cannot_be_sent_now_says_to_come_back():
    host = ManualHost(limits=Limits(replay_bytes=1, outbox_bytes=50_000))
    for room in ("room:a", "room:b"):
        for _ in range(5):  # more than the ring keeps
            host.publish_http(room, "x" * 70_000)
    first = fresh(host, last=5)
    first.connection.stuck = True
    first.start(Claims(sub="bob"))
    host.run()
    assert first.connection.code is None
    second = opened(host, last=5, channel="room:b")
    assert (second.connection.code, second.connection.events()) == (4104, [])
    first.connection.drain()
    assert opened(host, last=5, channel="room:b").connection.code is None


def test_notifications_that_were_skipped_are_told_by_a_reset():
    tables = {"namespaces": {**TABLES["namespaces"], "notify": {"slow": "latest"}}}
    host = ManualHost(tables=tables)
    session = opened(host, "notify:x", NotifySession)

    def lag(*numbers):
        session.connection.stall()
        session.connection.payloads()
        for number in numbers:
            host.publish_http("notify:x", {"n": number})
            host.advance(1)
        session.connection.drain()
        return [msgspec.json.decode(payload) for payload in session.connection.payloads()]

    reset, newest = lag(0, 1, 2)
    assert (reset["type"], reset["offset"], reset["reason"]) == ("reset", 2, "lagged")
    assert newest == {"n": 2}
    assert lag(3) == [{"n": 3}]


def test_a_slow_reader_of_notifications_is_told_once_before_the_newest_of_each_key():
    tables = {"namespaces": {**TABLES["namespaces"], "notify": {"slow": "latest"}}}
    host = ManualHost(tables=tables)
    session = opened(host, "notify:x", NotifySession)
    session.connection.stall()
    session.connection.payloads()
    for number, key in enumerate("abab"):
        host.publish_http("notify:x", {"n": number}, conflate_key=key)
        host.advance(1)
    session.connection.drain()
    reset, *rest = [msgspec.json.decode(payload) for payload in session.connection.payloads()]
    assert (reset["type"], reset["offset"]) == ("reset", 2)
    assert rest == [{"n": 2}, {"n": 3}]


def test_typing_ping_and_pong(host):
    bob, amy = opened(host), opened(host, user="amy")
    bob.connection.events()
    amy.connection.events()
    for frame in (b'{"type":"typing"}', b'{"type":"ping"}', b'{"type":"pong"}', b"ping", b"pong"):
        bob.received_text(frame)
    host.run()
    assert brief(bob.connection.events()) == ["pong", "pong"]
    assert brief(amy.connection.events()) == ["typing"]
    assert host.position("room:a").offset == 0


def test_a_token_that_comes_late_reaches_nobody(host):
    bob, amy = opened(host), opened(host, user="amy")
    bob.connection.events()
    amy.connection.events()
    for frame in (b'{"type":"auth","token":"secret"}', b'{"type":"auth","token":"secret"'):
        bob.received_text(frame)
    assert heard(bob) == ["error", "error"]
    assert heard(amy) == []
    assert host.position("room:a").offset == 0


def test_typing_needs_the_right_to_publish(host):
    session = fresh(host)
    session.start(Claims(sub="bob", channels=capabilities({"room:*": ["subscribe"]})))
    host.run()
    session.received_text(b'{"type":"typing"}')
    assert heard(session) == ["connected", "error"]


def test_refusals_are_named(host):
    session = opened(host)
    session.received_text(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}")
    session.received_text(b'{"text":"%b"}' % (b"x" * 70_000))
    host.broker.down = True
    session.received_text(b"{}")
    host.run()
    codes = [e["code"] for e in session.connection.events() if e["type"] == "error"]
    assert codes == ["invalid_data", "too_large", "unavailable"]
    session.received_binary(b"{}")
    assert session.connection.code == 1003


def test_what_the_store_refuses_after_the_end_is_dropped(host):
    session = opened(host)
    session.connection.events()
    host.broker.down = True
    session.received_text(b"{}")
    session.closed(1006, "", False)
    host.run()
    assert session.connection.events() == []


def test_too_many_messages_are_refused():
    host = ManualHost(limits=Limits(command_rate=1, command_burst=1))
    session = opened(host)
    session.received_text(b'{"type":"ping"}')
    session.received_text(b'{"type":"ping"}')
    events = session.connection.events()
    assert [e["type"] for e in events] == ["connected", "pong", "error"]
    assert (events[2]["code"], events[2]["retry_after"]) == ("rate_limited", 1)


# Opening


def test_the_first_message_may_bring_the_token_and_others_may_follow_at_once(host):
    session = fresh(host)
    session.received_text(b'{"type":"auth","token":"bob"}')
    session.received_text(b'{"text":"early"}')
    assert session.connection.paused
    assert heard(session) == ["connected", 1]
    assert not session.connection.paused


def test_a_page_may_speak_as_soon_as_its_socket_is_open(host):
    session = fresh(host)
    session.start(Claims(sub="bob"))
    session.received_text(b'{"text":"early"}')
    session.received_text(b'{"type":"typing"}')
    assert heard(session) == ["connected", 1]


def test_since_of_the_auth_message_counts(host):
    host.publish_http("room:a", 1)
    opened(host)
    epoch = host.position("room:a").epoch
    session = fresh(host)
    session.received_text(
        b'{"type":"auth","token":"bob","since":{"room:a":{"epoch":"%b","offset":0}}}'
        % epoch.encode()
    )
    assert heard(session) == ["connected", 1]


@pytest.mark.parametrize("frame", [b"nonsense", b'{"type":"ping"}'])
def test_anything_but_auth_first_is_closed(host, frame):
    session = fresh(host)
    session.received_text(frame)
    assert session.connection.code == 4001


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OpenlineError(Code.UNAUTHORIZED, "no"), 4001),
        (OpenlineError(Code.UNAUTHORIZED, "old", expired=True), 4200),
        (OpenlineError(Code.UNAVAILABLE, "keys are away"), 4104),
    ],
)
def test_a_token_that_is_no_good_is_closed_with_its_code(host, error, code):
    host.tokens["t"] = error
    session = fresh(host)
    session.received_text(b'{"type":"auth","token":"t"}')
    host.run()
    assert session.connection.code == code
    assert host.sessions == {}


def test_who_leaves_while_its_token_is_looked_at_is_not_opened(host):
    host.answering.open = False
    session = fresh(host)
    session.received_text(b'{"type":"auth","token":"bob"}')
    host.run()
    session.closed(1006, "", False)
    host.answering.open = True
    host.run()
    assert not session.opened


def test_who_may_not_is_told_to_stay_away(host):
    session = fresh(host)
    session.received_text(b'{"type":"auth"}')
    host.run()
    assert session.connection.code == 4003
    session = fresh(host, "nowhere:a")
    session.start(None)
    assert session.connection.code == 4000


# What the server does


@pytest.mark.parametrize("kind", [RoomSession, NotifySession])
def test_a_room_that_is_one_too_many_new_ones_can_be_had_later(host, kind):
    host.seeking = OpenlineError(Code.RATE_LIMITED, "too many new channels", retry_after=1)
    session = opened(host, kind=kind)
    assert (session.connection.code, session.connection.reason) == (4104, "too many new channels")
    assert not session.subscriptions


def test_only_its_own_channel_can_be_ended_and_no_other_added(host):
    session = opened(host)
    session.subscribe_by_server("chat:b")
    session.unsubscribe_by_server("chat:b", "enough")
    assert session.subscriptions.keys() == {"room:a"}
    session.unsubscribe_by_server("room:a", "enough")
    assert (session.connection.code, session.connection.reason) == (4004, "enough")


def test_events_that_are_not_of_the_route_are_left_out(host):
    session = opened(host)
    session.connection.events()
    session.expiring()
    session.reconnect(5)
    session.direct(b"1", 1)
    assert session.connection.events() == []


# Notifications


def test_notifications_come_as_they_were_published_and_nothing_else(host):
    session = opened(host, "notify:a", NotifySession)
    host.publish_http("notify:a", {"type": "notification", "title": "x"})
    host.publish_http("notify:a", 5)
    session.received_text(b"hello")
    session.received_binary(b"hello")
    session.ping()
    host.advance(1)
    assert session.connection.events() == [
        {"type": "notification", "title": "x"},
        {"type": "notification", "data": 5},
    ]
    assert session.connection.pings == 1


def test_a_lost_continuity_is_told_on_notifications_too(host):
    session = opened(host, "notify:a", NotifySession)
    host.broker.fence()
    host.beat()
    host.advance(1)
    assert [event["type"] for event in session.connection.events()] == ["reset"]


def test_who_never_stops_talking_to_notifications_is_closed():
    host = ManualHost(limits=Limits(refusal_rate=1, refusal_burst=2))
    session = opened(host, "notify:a", NotifySession)
    for _ in range(3):
        session.received_text(b"hello")
    assert session.connection.code == 4000


def test_each_route_says_what_it_does_with_messages(host):
    with pytest.raises(NotImplementedError):
        opened(host, kind=type("Silent", (PlainSession,), {"greet": lambda *_: None})).received(b"")
