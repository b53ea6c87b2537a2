"""Fan-out of one channel: who gets what, in which order, joined how, and what becomes of those who do not keep up."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.fanout import audience as module
from services.gateway.fanout.lag import Lag
from services.gateway.fanout.wire_format import JSON, MSGPACK, NOTIFY
from services.gateway.session import publishing
from services.gateway.session.echoes import Echoes
from services.gateway.session.native import NativeSession
from services.gateway.session.plain import NotifySession
from services.gateway.session.sse import StreamSession
from services.kernel.broker.port import Entry, EntryType
from services.kernel.domain.claims import Claims
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind, Publication
from services.kernel.protocol.commands import Publish
from tests.support.gateway_host import ManualHost, RecordingConnection, brief, now

QUIET = Limits(outbox_bytes=100_000)
ROOMLESS = Limits(outbox_bytes=100_000, conflate_bytes=0)
"""Slow readers get the newest alone."""


@pytest.fixture
def host():
    return ManualHost(limits=QUIET)


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


def publish(host, *data, channel="chat:a", **changes):
    for one in data:
        host.publish_http(channel, one, **changes)


def say(session, data, channel="live:a"):
    """Publish without echo."""
    command = {"type": "publish", "id": 1, "channel": channel, "data": data, "echo": False}
    session.received_text(msgspec.json.encode(command))
    session.node.run()
    session.node.advance(1)


def fall_behind(host, subscription, sent, epoch=None):
    before = Position(epoch or host.position(subscription.channel).epoch, sent)
    subscription.session.fall_behind(subscription, Lag(before, host.lag_budget))


def signal(host, kind, fragment, channel="chat:a"):
    host.audiences[channel].signal(Entry(0, kind, channel, None, fragment))
    host.run()


def joins(count, connection="c"):
    return b'"user":"u","connection":"%b","count":%d,"users":%d' % (
        connection.encode(),
        count,
        count,
    )


def test_subscriptions_are_counted_by_namespace(host):
    def counted():
        return host.metrics.subscriptions.labels("chat")._value.get()

    bob, amy = member(host), member(host, user="amy")
    assert counted() == 2
    bob.unsubscribe_by_server("chat:a", "enough")
    amy.closed(1006, "", False)
    assert counted() == 0


def test_a_reset_is_encoded_once_for_all_who_speak_alike(host):
    members = [member(host), member(host, user="amy")]
    host.broker.fence()
    host.beat()
    host.advance(1)
    frames = [
        frame
        for session in members
        for frame in session.connection.sent
        if b'"reset","channel":"chat:a"' in frame
    ]
    assert len(frames) == 2
    assert frames[0] is frames[1]


# The window


def test_the_first_message_of_a_quiet_channel_leaves_at_once(host):
    bob = member(host)
    publish(host, "a")
    assert heard(bob) == [1]


def test_messages_within_the_window_leave_as_one_write(host):
    bob = member(host)
    publish(host, "a", "b", "c")
    assert heard(bob) == [1]
    host.advance(0.006)
    assert len(bob.connection.sent[-1]) > len(bob.connection.sent[-2]) * 1.9
    assert heard(bob) == [2, 3]
    host.advance(1)
    assert host.timers == 0


def test_the_window_opens_with_the_first_message_that_waits(host):
    bob = member(host)
    publish(host, "at once")
    host.advance(0.004)
    publish(host, "waits")
    host.advance(0.004)
    publish(host, "joins it")
    assert heard(bob) == [1]  # 8 ms after the sweep before, but only 4 since somebody waits
    host.advance(0.0011)
    assert heard(bob) == [2, 3]


def test_three_messages_of_an_even_stream_share_a_write_where_the_window_is_two_long(host):
    bob = member(host)
    sent = len(bob.connection.sent)
    for number in range(31):
        publish(host, number)
        host.advance(0.0025 - 1e-6)
    host.advance(1)
    assert heard(bob) == list(range(1, 32))
    assert len(bob.connection.sent) - sent == 11


def test_what_came_during_a_sweep_waits_no_longer_than_the_window(host, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)
    sessions = [member(host) for _ in range(3)]
    audience = host.audiences["chat:a"]
    first, second = (
        Publication(epoch="e", offset=offset, data=b"1", meta=b'"ts":1') for offset in (1, 2)
    )
    audience.deliver(first)
    host.turn()
    audience.deliver(second)
    host.clock += 0.004  # the rest of the sweep
    host.run()
    assert [heard(session) for session in sessions] == [[1]] * 3
    host.advance(0.0011)
    assert [heard(session) for session in sessions] == [[2]] * 3


def test_each_wire_format_is_encoded_once_and_shared(host):
    sessions = [
        member(host, wire_format=wire_format) for wire_format in (JSON, JSON, MSGPACK, MSGPACK)
    ]
    publish(host, "a")
    frames = [session.connection.sent[-1] for session in sessions]
    assert frames[0] is frames[1]
    assert frames[2] is frames[3]
    assert msgspec.msgpack.decode(sessions[2].connection.payloads()[-1])["data"] == "a"


def test_who_joins_within_the_window_is_not_given_its_past(host):
    bob = member(host)
    publish(host, "a", "b")
    amy = member(host)
    assert heard(bob) == [1, 2]
    host.advance(1)
    assert (heard(amy), heard(bob)) == ([], [])
    publish(host, "c")
    assert (heard(amy), heard(bob)) == ([3], [3])


def test_who_leaves_within_the_window_is_given_what_came_before(host):
    bob = member(host)
    publish(host, "a", "b")
    bob.unsubscribe_by_server("chat:a", "enough")
    assert heard(bob) == [1, 2, "unsubscribed"]
    publish(host, "c")
    assert heard(bob) == []
    assert len(host.audiences["chat:a"]) == 0


def test_who_has_left_is_written_to_no_more(host):
    bob, amy = member(host), member(host, user="amy")
    publish(host, 1)
    bob.unsubscribe_by_server("chat:a", "enough")
    publish(host, 2)
    host.advance(1)
    assert heard(bob) == [1, "unsubscribed"]
    assert heard(amy) == [1, 2]


def test_listeners_are_counted(host):
    member(host)
    amy = member(host)
    assert host.counts["chat:a"] == 2
    amy.close(4004)
    assert host.counts["chat:a"] == 1


def test_removing_somebody_who_is_not_here_changes_nothing(host):
    bob = member(host)
    amy = member(host, channel="chat:b")
    audience = host.audiences["chat:a"]
    audience.remove(amy.subscriptions["chat:b"])
    assert len(audience) == 1
    bob.close(4004)
    audience.remove(amy.subscriptions["chat:b"])


# Slices


def test_a_sweep_over_many_is_sliced_and_keeps_the_order(host, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 2)
    sessions = [member(host) for _ in range(7)]
    host.reading = False
    publish(host, "a")
    host.hub.entries(
        host.hub.generation,
        now(host.broker.read(0, host.hub.bus_position, block=0)),
        host.clock,
    )
    for written in (2, 4, 6, 7):
        host.turn()
        assert sum(bool(s.connection.events()) for s in sessions) in (1, 2)
        assert sum(s.connection._read > 3 for s in sessions) <= written
    host.turn()
    assert not any(s.connection.events() for s in sessions)


def test_slices_take_one_turn_each_however_long_the_channel_is_busy(host, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)
    sessions = [member(host) for _ in range(4)]
    audience = host.audiences["chat:a"]
    host.reading = False
    for offset in range(1, 30):
        host.clock += 1
        audience.deliver(Publication(epoch="e", offset=offset, data=b"1", meta=b'"ts":1'))
        host.turn()
        host.turn()
        assert len(host._turn) <= 1
    host.run()
    host.advance(1)
    for session in sessions:
        assert heard(session) == list(range(1, 30))


def test_a_reset_overtakes_no_slice(host, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)
    sessions = [member(host) for _ in range(3)]
    audience = host.audiences["chat:a"]
    audience.deliver(Publication(epoch="e", offset=1, data=b"1", meta=b'"ts":1'))
    host.turn()
    audience.deliver(Publication(epoch="e", offset=2, data=b"1", meta=b'"ts":1'))
    audience.reset("f", 2, began=2, reason="epoch")
    for session in sessions:
        assert heard(session) == [1, 2, "reset"]


def test_who_stalls_in_the_middle_of_a_sweep_gets_its_slice_before_what_is_newer(host, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)
    sessions = [member(host) for _ in range(3)]
    audience = host.audiences["chat:a"]
    audience.deliver(Publication(epoch="e", offset=1, data=b"1", meta=b'"ts":1'))
    host.turn()
    sessions[2].stalled()
    audience.deliver(Publication(epoch="e", offset=2, data=b"1", meta=b'"ts":1'))
    audience.flush()
    for session in sessions:
        assert heard(session) == [1, 2]


# Slow consumers


def test_a_full_one_is_closed_and_the_others_get_everything(host):
    slow, quick = member(host), member(host)
    slow.connection.stall()
    publish(host, "x" * 20_000)
    assert not slow.is_closed
    publish(host, "x" * 20_000)
    host.advance(1)
    assert slow.connection.code == 4101
    assert slow.connection.most < QUIET.outbox_bytes
    assert heard(quick) == [1, 2]
    assert host.counts["chat:a"] == 1


def test_latest_skips_while_stalled_and_says_how_many(host):
    bob = member(host, "live:a")
    publish(host, 1, channel="live:a")
    bob.connection.stall()
    for number in range(2, 6):
        publish(host, number, channel="live:a")
        host.advance(1)
    assert heard(bob) == [1]
    bob.connection.drain()
    assert [(e["offset"], e["skipped"], e["data"]) for e in bob.connection.events()] == [(5, 3, 5)]
    publish(host, 6, channel="live:a")
    assert heard(bob) == [6]


def test_latest_that_missed_one_only_gets_it_without_skipped(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, channel="live:a")
    bob.connection.drain()
    (event,) = bob.connection.events()
    assert event["offset"] == 1
    assert "skipped" not in event


def test_own_publications_without_echo_are_not_skipped(host):
    """Its acks took their places."""
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, 2, channel="live:a")
    host.advance(1)
    say(bob, 3)
    publish(host, 4, channel="live:a")
    host.advance(1)
    bob.connection.drain()
    told = [e for e in bob.connection.events() if e["type"] == "message"]
    assert [(e["offset"], e["skipped"]) for e in told] == [(4, 2)]


def test_who_missed_nothing_but_its_own_is_told_nothing(host):
    bob = member(host, "live:a")
    publish(host, 1, channel="live:a")
    heard(bob)
    bob.connection.stall()
    subscription = bob.subscriptions["live:a"]
    fall_behind(host, subscription, 1)
    say(bob, 2)
    bob.connection.drain()
    assert [e["type"] for e in bob.connection.events()] == ["ack"]


def test_a_reset_for_one_that_lagged_names_where_the_epoch_began():
    host = ManualHost(limits=ROOMLESS)
    publish(host, 1, 2, channel="live:a")
    bob = member(host, "live:a")
    host.broker.fence()
    host.beat()
    host.advance(1)
    resets = [e for e in bob.connection.events() if e.get("channel") == "live:a"]
    assert [e["began"] for e in resets] == [2]
    bob.connection.stall()
    publish(host, 3, channel="live:a")
    host.advance(1)
    host.newest = lambda channel: None
    bob.connection.drain()
    (event,) = bob.connection.events()
    assert (event["reason"], event["offset"], event["began"]) == ("lagged", 3, 2)


def test_drop_skips_only_when_the_buffer_is_full(host):
    bob = member(host, "feed:a")
    bob.connection.stall()
    for number in range(4):
        publish(host, str(number) * 20_000, channel="feed:a")
        host.advance(1)
    assert heard(bob) == [1]
    bob.connection.drain()
    assert [(e["offset"], e.get("skipped")) for e in bob.connection.events()] == [(4, 2)]


def test_who_has_drained_when_the_newest_is_gone_is_reset():
    host = ManualHost(limits=ROOMLESS)
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, 2, channel="live:a")
    host.advance(1)
    host.newest = lambda channel: None
    bob.connection.drain()
    (event,) = bob.connection.events()
    assert (event["type"], event["offset"], event["reason"]) == ("reset", 2, "lagged")


def test_a_lagging_one_that_is_told_of_a_reset_gets_nothing_older(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, channel="live:a")
    host.broker.flush()
    host.beat()
    host.advance(1)
    publish(host, 2, channel="live:a")
    host.advance(1)
    bob.connection.drain()
    events = [event for event in bob.connection.events() if event["channel"] == "live:a"]
    assert [event["type"] for event in events] == ["reset", "message"]


@pytest.mark.parametrize("sent", [0, 9])
def test_who_lagged_in_another_epoch_is_reset_wherever_its_offset_was(host, sent):
    bob = member(host, "live:a")
    publish(host, 1, channel="live:a")
    heard(bob)
    subscription = bob.subscriptions["live:a"]
    fall_behind(host, subscription, sent, epoch="former")
    host.audiences["live:a"].catch_up(subscription)
    (event,) = bob.connection.events()
    assert (event["type"], event["offset"], event["reason"]) == ("reset", 1, "lagged")


def test_an_ephemeral_message_is_not_made_up_for(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, channel="live:a", ephemeral=True)
    bob.connection.drain()
    assert heard(bob) == []


def test_who_stalls_again_before_it_is_looked_at_is_served_when_it_drains(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, channel="live:a")
    bob.is_stalled = True
    subscription = bob.subscriptions["live:a"]
    host.audiences["live:a"].catch_up(subscription)
    assert heard(bob) == []
    bob.connection.drain()
    assert heard(bob) == [1]
    host.audiences["live:a"].catch_up(subscription)
    assert heard(bob) == []


def test_who_left_while_it_lagged_is_told_nothing_more(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, channel="live:a")
    subscription = bob.subscriptions["live:a"]
    audience = subscription.audience
    bob.unsubscribe_by_server("live:a", "enough")
    assert not bob._lagging
    bob.connection.drain()
    audience.catch_up(subscription)
    assert heard(bob) == ["unsubscribed"]
    assert host.timers == 0


def test_who_drains_while_the_window_is_open_gets_the_newest_once(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    for number in range(2):
        publish(host, number, channel="live:a")
        host.advance(1)
    publish(host, "sent at once", "still in the window", channel="live:a")
    bob.subscriptions["live:a"].audience._groups[JSON.name].stale = True
    bob.connection.drain()
    host.advance(1)
    (event,) = bob.connection.events()
    assert (event["data"], event["offset"], event["skipped"]) == ("still in the window", 4, 3)


def test_a_position_that_is_not_known_is_asked_for_again(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, channel="live:a")
    known = host.position
    host.position = lambda channel: None
    bob.connection.drain()
    assert heard(bob) == []
    host.position = known
    host.advance(1)
    assert heard(bob) == [1]


def test_who_has_what_it_lagged_behind_is_given_nothing(host):
    bob = member(host, "live:a")
    publish(host, 1, channel="live:a")
    heard(bob)
    subscription = bob.subscriptions["live:a"]
    fall_behind(host, subscription, 1)
    host.audiences["live:a"].catch_up(subscription)
    assert heard(bob) == []
    assert subscription.lag is None


def test_a_closed_session_is_not_counted_as_lagging(host):
    bob, amy = member(host, "feed:a"), member(host, "feed:a")
    bob.connection.stall()
    bob.allowance = 0
    publish(host, "x", channel="feed:a")
    bob.is_closed = True
    bob.end_lag(bob.subscriptions["feed:a"])
    publish(host, "y", channel="feed:a")
    host.advance(1)
    assert not bob._lagging
    assert heard(amy) == [1, 2]


# Latest per key


CONFLATED = {
    "namespaces": {
        "live": {"publish": "authenticated", "slow": "latest", "conflate": "key"},
        "notify": {"slow": "latest", "conflate": "key"},
    }
}


def keyed(host, *keys, channel="live:a", data=None):
    """Publish data with each key, by default its number in the row."""
    for number, key in enumerate(keys, 1):
        host.publish_http(channel, data or number, conflate_key=key)


def told(session):
    """Of each message its offset, key, and how many were left out before it."""
    return [
        (event["offset"], event.get("conflate_key"), event.get("skipped", 0))
        for event in session.connection.events()
        if event["type"] == "message"
    ]


def conflated(host):
    return host.metrics.conflated.labels("live")._value.get()


@pytest.mark.parametrize("channel", ["live:a", "feed:a"])
def test_who_has_drained_gets_the_newest_of_each_key_in_the_channels_order(host, channel):
    bob = member(host, channel)
    bob.connection.stall()
    bob.allowance = 0  # `drop` waits until it is full
    keyed(host, "a", "b", "a", None, "c", "b", None, channel=channel)
    host.advance(1)
    sent = len(bob.connection.sent)
    bob.connection.drain()
    assert len(bob.connection.sent) == sent + 1, "one write"
    assert told(bob) == [(3, "a", 2), (5, "c", 1), (6, "b", 0), (7, None, 0)]
    keyed(host, "a", channel=channel)
    assert told(bob) == [(8, "a", 0)]
    assert host.lag_budget.held == 0


def test_messages_that_gave_way_to_a_newer_one_of_their_key_are_counted(host):
    bob, amy = member(host, "live:a"), member(host, "live:a")
    bob.connection.stall()
    keyed(host, "a", "a", None, None, "a")
    host.advance(1)
    assert conflated(host) == 2
    assert len(told(amy)) == 5


def test_who_stalls_while_it_catches_up_gets_the_rest_with_what_is_newer_then(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    keyed(host, "a", "b", "c", "d", data="x" * 40_000)
    host.advance(1)
    bob.connection.waiting = 0
    bob.is_stalled = bob.connection._stalled = False
    bob.writable()  # and does not read on: a piece is as much as fills its buffer
    assert [offset for offset, _, _ in told(bob)] == [1, 2]
    keyed(host, "c")
    host.advance(1)
    assert told(bob) == []
    bob.connection.drain()
    assert told(bob) == [(4, "d", 1), (5, "c", 0)]
    assert host.lag_budget.held == 0


def test_its_own_publication_supersedes_what_waits_of_the_same_key(host):
    """The ack told it of a newer one: an older one behind it would be taken for news."""
    bob = member(host, "live:a")
    bob.connection.stall()
    keyed(host, "a", "b")
    host.advance(1)
    echo(host, bob, channel="live:a", conflate_key="a")
    keyed(host, "c")
    host.advance(1)
    bob.connection.drain()
    assert told(bob) == [(2, "b", 1), (4, "c", 0)]


def test_who_is_behind_keeps_what_another_one_published_without_echo(host):
    bob, amy = member(host, "live:a"), member(host, "live:a", user="amy")
    bob.connection.stall()
    echo(host, amy, channel="live:a", conflate_key="a")
    keyed(host, "b")
    host.advance(1)
    bob.connection.drain()
    assert told(bob) == [(1, "a", 0), (2, "b", 0)]


def test_without_room_for_all_slow_readers_each_gets_the_newest_alone():
    host = ManualHost(limits=ROOMLESS)
    bob = member(host, "live:a")
    bob.connection.stall()
    keyed(host, "a", "b", "c")
    host.advance(1)
    bob.connection.drain()
    assert told(bob) == [(3, "c", 2)]


@pytest.mark.parametrize("end", ["reset", "unsubscribe", "close", "window"])
def test_the_room_of_who_is_behind_no_more_is_given_back(host, end):
    bob = member(host, "live:a")
    bob.connection.stall()
    keyed(host, "a", "b")
    if end != "window":
        host.advance(1)
        assert host.lag_budget.held > 0
    if end == "reset":
        host.audiences["live:a"].reset("other", 0, began=0, reason="epoch")
    elif end == "close":
        bob.closed(1006, "", False)
    else:
        bob.unsubscribe_by_server("live:a", "enough")
    host.advance(1)
    assert host.lag_budget.held == 0
    assert not bob._lagging


def test_a_namespace_that_conflates_writes_the_newest_of_each_key_within_the_window():
    host = ManualHost(limits=QUIET, tables=CONFLATED)
    bob, amy = member(host, "live:a"), member(host, "live:a", wire_format=MSGPACK)
    keyed(host, "a", "a", "b", "a", None, "b")
    host.advance(1)
    assert told(bob) == [(1, "a", 0), (4, "a", 2), (5, None, 0), (6, "b", 0)]
    last = [msgspec.msgpack.decode(payload) for payload in amy.connection.payloads()[-3:]]
    assert [(each["offset"], each.get("skipped", 0)) for each in last] == [(4, 2), (5, 0), (6, 0)]
    assert conflated(host) == 2 * 2
    host.metrics.add_up()
    assert host.metrics.messages_out.labels("live")._value.get() == 2 * 4


def test_a_slow_reader_of_a_namespace_that_conflates_counts_each_that_was_left_out_once():
    host = ManualHost(limits=QUIET, tables=CONFLATED)
    bob = member(host, "live:a")
    bob.connection.stall()
    keyed(host, "a", "a", "b", "a", "b")
    host.advance(1)
    bob.connection.drain()
    assert told(bob) == [(4, "a", 3), (5, "b", 0)]


def test_notifications_are_all_written_as_they_have_no_word_for_what_is_left_out():
    host = ManualHost(limits=QUIET, tables=CONFLATED)
    session = NotifySession(host, RecordingConnection(host), channel="notify:a", since=None, last=0)
    session.connection.start(session)
    session.start(Claims(sub="bob"))
    host.run()
    keyed(host, "a", "a", "a", channel="notify:a")
    host.advance(1)
    assert [event["data"] for event in session.connection.events()] == [1, 2, 3]


# Opening sessions, and those that dress


def test_nothing_overtakes_connected(host):
    host.entering.open = False
    session = StreamSession(host, RecordingConnection(host), ["room:a", "chat:a"], {})
    session.start(Claims(sub="bob"))
    host.run()
    publish(host, "a")
    signal(host, EntryType.TYPING, b'"user":"amy"')
    assert session.connection.text() == ""
    host.entering.open = True
    host.run()
    text = session.connection.text()
    order = [text.index(word) for word in ("retry", "subscribed", "message", "typing")]
    assert order == sorted(order)


def test_refusals_reach_the_session(host):
    bob = member(host)
    host.broker.down = True
    bob.received_text(b'{"type":"subscribe","id":1,"channel":"chat:b"}')
    host.run()
    host.advance(6)
    (event,) = bob.connection.events()
    assert (event["type"], event["code"], event["id"]) == ("error", "unavailable", 1)


# Publishes without echo


def echo(host, session, data=b"1", channel="chat:a", conflate_key=None):
    session._echoes = Echoes()
    token = session._echoes.token(session.id)
    session._echoes.add(token, channel=channel, command=7, position=host.position(channel))
    draft = publishing.draft(
        session,
        Publish(channel=channel, data=data, kind=Kind.JSON, conflate_key=conflate_key),
        token=token,
    )
    host.publish(draft, lambda result: None)
    host.run()


def test_the_ack_of_an_echo_takes_the_place_of_the_message(host):
    bob, amy, packed = member(host), member(host, user="amy"), member(host, wire_format=MSGPACK)
    publish(host, "a", "b")
    echo(host, bob)
    publish(host, "c")
    host.advance(1)
    events = bob.connection.events()
    assert brief(events) == [1, 2, "ack", 4]
    assert events[2]["offset"] == 3
    assert heard(amy) == [1, 2, 3, 4]
    assert len(packed.connection.payloads()) == 4


def test_an_echo_that_was_acked_does_not_come_again_when_its_sender_has_drained(host):
    bob = member(host, "live:a")
    bob.connection.stall()
    publish(host, 1, channel="live:a")
    echo(host, bob, channel="live:a")
    host.advance(1)
    bob.connection.drain()
    events = bob.connection.events()
    assert [(e["type"], e["offset"]) for e in events] == [("ack", 2), ("reset", 2)]
    publish(host, 3, channel="live:a")
    assert heard(bob) == [3]


def test_an_echo_of_a_session_that_is_not_here_is_an_ordinary_message(host):
    bob, amy = member(host), member(host, user="amy", channel="chat:b")
    publish(host, "a", token="elsewhere.1")
    publish(host, "b", token=f"{amy.id}.1")
    publish(host, "c", token=f"{bob.id}.99")
    host.advance(1)
    assert heard(bob) == [1, 2, 3]
    assert heard(amy) == []


def test_an_echo_of_who_has_not_joined_yet_waits_for_its_place(host):
    bob, amy = member(host, "feed:a"), member(host, "feed:a", user="amy")
    bob.subscriptions["feed:a"].joined = False
    echo(host, bob, channel="feed:a")
    assert "ack" not in heard(bob)
    assert heard(amy) == [1]
    assert len(bob._echoes) == 1


def test_an_echo_over_many_is_sliced_in_other_wire_formats(host, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 1)
    bob, others = member(host), [member(host, wire_format=MSGPACK) for _ in range(3)]
    echo(host, bob)
    assert heard(bob) == ["ack"]
    for other in others:
        assert len(other.connection.payloads()) == 1


# Signals


def test_joins_and_typing_are_sent_by_the_same_events_of_the_channel(host):
    bob = member(host)
    signal(host, EntryType.JOIN, joins(3))
    first = host.audiences["chat:a"]._events
    signal(host, EntryType.LEAVE, joins(2))
    assert heard(bob) == ["join", "leave"]
    assert host.audiences["chat:a"]._events is first


def test_signals_come_behind_what_was_published_before_them(host):
    bob = member(host)
    publish(host, "a", "b")
    signal(host, EntryType.TYPING, b'"user":"amy"')
    assert heard(bob) == [1, 2, "typing"]


def test_signals_to_many_are_sliced(host, monkeypatch):
    monkeypatch.setattr(module, "SLICE", 2)
    sessions = [member(host) for _ in range(5)]
    host.audiences["chat:a"].signal(Entry(0, EntryType.TYPING, "chat:a", None, b'"user":"amy"'))
    assert sum(bool(s.connection.events()) for s in sessions) == 2
    host.run()
    assert sum(bool(s.connection.events()) for s in sessions) == 3


def test_a_stalled_one_misses_signals(host):
    bob = member(host)
    bob.connection.stall()
    signal(host, EntryType.TYPING, b'"user":"amy"')
    assert heard(bob) == []


def test_where_the_wire_format_has_no_word_nothing_is_written(host):
    connection = RecordingConnection(host)
    session = NotifySession(host, connection, channel="notify:a", since=None, last=0)
    assert session.wire_format is NOTIFY
    session.start(Claims(sub="bob"))
    host.run()
    signal(host, EntryType.TYPING, b'"user":"amy"', channel="notify:a")
    assert connection.sent == [b""] * len(connection.sent)


def test_regrouping_a_session_without_a_group_changes_nothing(host):
    member(host)
    amy = member(host, channel="chat:b", wire_format=MSGPACK)
    host.audiences["chat:a"].regroup(amy)
