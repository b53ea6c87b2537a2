"""Sessions of an event stream: several channels, and an id from which all of them are recovered."""

from __future__ import annotations

import re

import msgspec
import pytest

from services.gateway.session.sse import HEARTBEAT, StreamSession
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from services.kernel.protocol import sse
from tests.support.gateway_host import ManualHost, RecordingConnection


@pytest.fixture
def host():
    return ManualHost()


def opened(host, *channels, at=None, **claims):
    session = StreamSession(host, RecordingConnection(host), channels, at or {})
    session.connection.start(session)
    session.start(Claims(sub="bob", **claims))
    host.run()
    return session


def blocks(session):
    """(event, data, positions of the id) of each block since the last call."""
    found = []
    for block in session.connection.text().split("\n\n"):
        event = re.search(r"^event: (.*)$", block, re.MULTILINE)
        data = re.search(r"^data: (.*)$", block, re.MULTILINE)
        cursor = re.search(r"^id: (.*)$", block, re.MULTILINE)
        if event and data:
            at = sse.decode_cursor(cursor.group(1)) if cursor else None
            found.append((event.group(1), data.group(1), at))
    return found


def offsets(block):
    return {channel: position.offset for channel, position in block[2].items()}


def events(session):
    return [event for event, _, _ in blocks(session)]


def test_a_stream_begins_with_its_hint_and_its_channels(host):
    session = opened(host, "chat:a", "room:b")
    hint = re.match(rb"retry: (\d+)\nid: .*\nevent: subscribed\n", session.connection.sent[0])
    assert 1000 <= int(hint.group(1)) < 3000
    assert b"retry" not in session.connection.sent[1]
    first, second = blocks(session)
    assert first[0] == second[0] == "subscribed"
    assert '"count":1' in first[1] + second[1]
    assert offsets(first) == offsets(second) == {"chat:a": 0, "room:b": 0}


def test_each_message_carries_the_id_behind_it(host):
    session = opened(host, "chat:a", "chat:b")
    blocks(session)
    host.publish_http("chat:a", 1)
    host.publish_http("chat:b", 1)
    host.publish_http("chat:a", 2)
    host.advance(1)
    assert [offsets(block) for block in blocks(session)] == [
        {"chat:a": 1, "chat:b": 0},
        {"chat:a": 1, "chat:b": 1},
        {"chat:a": 2, "chat:b": 1},
    ]


def test_what_is_held_until_every_channel_has_answered_has_ids_of_all_of_them(host):
    first = host.publish_http("chat:a", 1)
    host.entering.open = False  # room:b has presence: it answers later than chat:a
    at = {"chat:a": Position(first.epoch, 0)}
    session = opened(host, "chat:a", "room:b", at=at)
    host.publish_http("chat:a", 2)
    host.publish_http("chat:a", 3)
    host.advance(1)
    assert blocks(session) == []
    host.publish_http("room:b", "before it joined")
    host.entering.open = True
    host.run()
    found = blocks(session)
    assert [offsets(block) for block in found] == [
        {"chat:a": 0, "room:b": 1},
        {"chat:a": 0, "room:b": 1},
        {"chat:a": 1, "room:b": 1},
        {"chat:a": 2, "room:b": 1},
        {"chat:a": 3, "room:b": 1},
    ]
    host.publish_http("room:b", "after")
    host.advance(1)
    assert [offsets(block) for block in blocks(session)] == [{"chat:a": 3, "room:b": 2}]


def test_the_id_recovers_every_channel(host):
    session = opened(host, "chat:a", "chat:b")
    host.publish_http("chat:a", 1)
    at = blocks(session)[-1][2]
    session.closed(1006, "", False)
    host.publish_http("chat:a", 2)
    host.publish_http("chat:b", 1)
    session = opened(host, "chat:a", "chat:b", at=at)
    found = blocks(session)
    assert [event for event, _, _ in found] == ["subscribed", "subscribed", "message", "message"]
    assert all('"recovered":true' in data for _, data, _ in found[:2])
    assert offsets(found[0]) == {"chat:a": 1, "chat:b": 0}
    assert offsets(found[-1]) == {"chat:a": 2, "chat:b": 1}


def test_what_cannot_be_recovered_is_said(host):
    session = opened(host, "chat:a", at={"chat:a": Position("other", 5)})
    ((_, data, at),) = blocks(session)
    assert '"recovered":false' in data
    assert '"began":0' in data
    assert at["chat:a"].offset == 0


def test_an_ephemeral_message_does_not_move_the_id(host):
    session = opened(host, "chat:a")
    blocks(session)
    host.publish_http("chat:a", 1, ephemeral=True)
    assert blocks(session)[0][2] is None


def test_a_reset_moves_the_id(host):
    session = opened(host, "chat:a")
    blocks(session)
    host.broker.fence()
    host.beat()
    host.advance(1)
    ((event, _, at),) = blocks(session)
    assert (event, at["chat:a"]) == ("reset", host.position("chat:a"))


def test_a_slow_reader_of_a_feed_gets_the_newest_and_its_id(host):
    session = opened(host, "live:a")
    session.connection.stall()
    for number in range(3):
        host.publish_http("live:a", number)
    host.advance(1)
    blocks(session)
    session.connection.drain()
    (block,) = blocks(session)
    assert '"skipped":2' in block[1]
    assert offsets(block) == {"live:a": 3}


def test_a_slow_reader_of_a_feed_gets_the_newest_of_each_key_with_an_id_each(host):
    session = opened(host, "live:a")
    session.connection.stall()
    for key in "abab":
        host.publish_http("live:a", key, conflate_key=key)
    host.advance(1)
    blocks(session)
    session.connection.drain()
    first, second = blocks(session)
    assert ('"skipped":2' in first[1], "skipped" in second[1]) == (True, False)
    assert (offsets(first), offsets(second)) == ({"live:a": 3}, {"live:a": 4})


def test_the_server_adds_and_ends_channels(host):
    session = opened(host, "chat:a")
    blocks(session)
    session.subscribe_by_server("chat:b")
    host.run()
    (block,) = blocks(session)
    assert (block[0], offsets(block)) == ("subscribed", {"chat:a": 0, "chat:b": 0})
    session.unsubscribe_by_server("chat:a", "enough")
    host.publish_http("chat:b", 1)
    ended, message = blocks(session)
    assert (ended[0], offsets(message)) == ("unsubscribed", {"chat:b": 1})


def test_a_channel_that_ends_before_the_stream_begins_is_not_counted(host):
    session = StreamSession(host, RecordingConnection(host), ["chat:a", "room:b"], {})
    host.entering.open = False
    session.start(Claims(sub="bob"))
    host.run()
    session.unsubscribe_by_server("chat:a", "enough")
    host.entering.open = True
    host.run()
    assert events(session) == ["subscribed", "subscribed", "unsubscribed"]


def test_a_channel_that_cannot_be_had_is_a_problem(host):
    session = opened(host, "chat:a")
    blocks(session)
    host.broker.down = True
    session.subscribe_by_server("chat:b")
    host.advance(6)
    assert events(session) == ["problem"]
    host.broker.down = False
    session.subscribe_by_server("chat:b")
    session.closed(1006, "", False)
    assert session._at.keys() == {"chat:a"}


def test_a_refusal_after_the_end_is_not_told(host):
    session = opened(host, "chat:a")
    subscription = session.subscriptions["chat:a"]
    session.closed(1006, "", False)
    blocks(session)
    session.refused(subscription, OpenlineError(Code.UNAVAILABLE, "away"))
    assert blocks(session) == []


def test_a_comment_keeps_the_line_alive(host):
    session = opened(host, "chat:a")
    session.connection.text()
    host.tick(session)
    assert session.connection.text() == ":\n\n"
    began = host.now()
    host.tick(session)
    assert host.now() - began == HEARTBEAT
    session.tick(host.now() + 1)
    assert session.connection.text() == ":\n\n"


def test_expiry_is_told_and_ends_the_stream(host):
    session = opened(host, "chat:a", exp=host.wall() + 40, iat=host.wall())
    blocks(session)
    while not session.is_closed:
        host.tick(session)
    assert [event for event, _, _ in blocks(session)] == ["expiring"]
    assert session.connection.code == 4200


def test_direct(host):
    session = opened(host, "chat:a")
    blocks(session)
    session.direct(b'{"a":1}', 17)
    assert blocks(session) == [("direct", '{"type":"direct","data":{"a":1},"ts":17}', None)]


def test_a_reader_that_does_not_read_is_bounded():
    host = ManualHost(limits=Limits(outbox_bytes=100_000))
    session = opened(host, "chat:a")
    session.connection.stall()
    for number in range(20):
        host.publish_http("chat:a", str(number) * 10_000)
        host.advance(1)
    assert session.connection.code == 4101
    assert session.connection.most <= 100_000


def test_many_channels_that_were_missed_together_count_as_one_large_replay():
    host = ManualHost(limits=Limits(outbox_bytes=100_000, replay_bytes=150_000))
    channels = ["chat:a", "chat:b", "chat:c"]
    before = opened(host, *channels)
    at = {c: host.position(c) for c in channels}
    before.close(4004)
    for channel in channels:
        host.publish_http(channel, "x" * 60_000)
    first = StreamSession(host, RecordingConnection(host), channels, at)
    first.connection.start(first)
    first.connection.stuck = True
    first.start(Claims(sub="bob"))
    host.run()
    second = opened(host, *channels, at=at)
    assert (first.connection.code, second.connection.code) == (None, 4104)
    assert events(second) == ["problem"]
    first.connection.drain()
    assert events(opened(host, *channels, at=at)) == ["subscribed"] * 3 + ["message"] * 3


def problem(session):
    """The last event that it was sent, which must be a problem."""
    event, data, at = blocks(session)[-1]
    assert (event, at) == ("problem", None)
    return msgspec.json.decode(data)


@pytest.mark.parametrize(
    ("close", "code", "temporary"),
    [
        (Close.UNAUTHORIZED, "unauthorized", False),
        (Close.REVOKED, "unauthorized", False),
        (Close.DISCONNECTED, "forbidden", False),
        (4099, "forbidden", False),
        (Close.CONNECTION_LIMIT, "rate_limited", True),
        (Close.OVERLOADED, "unavailable", True),
        (Close.SLOW_CONSUMER, "unavailable", True),
    ],
)
def test_the_last_event_of_a_stream_that_is_ended_says_why(host, close, code, temporary):
    session = opened(host, "chat:a")
    session.close(close, "for a reason")
    session.close(close, "for another")
    told = problem(session)
    assert (told["code"], told["temporary"], told["message"]) == (code, temporary, "for a reason")
    assert session.connection.closing


@pytest.mark.parametrize(("code", "least"), [(Close.CONNECTION_LIMIT, 10), (Close.OVERLOADED, 3)])
def test_who_is_one_too_many_comes_back_later_than_usual(host, code, least):
    session = opened(host, "chat:a")
    blocks(session)
    session.close(code, "too many")
    (wait,) = re.findall(rb"retry: (\d+)\n", session.connection.sent[-1])
    assert 1000 * least <= int(wait) <= 2000 * least


@pytest.mark.parametrize("code", [Close.DRAINING, Close.TOKEN_EXPIRED])
def test_who_was_told_before_needs_no_other_reason(host, code):
    session = opened(host, "chat:a")
    blocks(session)
    session.close(code, "1")
    assert session.connection.text() == ""


def test_a_stream_that_never_began_ends_without_an_event(host):
    host.refusal = OpenlineError(Code.LIMIT_EXCEEDED, "too many")
    session = opened(host, "chat:a")
    assert session.is_closed
    assert session.connection.text() == ""


def test_a_stream_that_ends_while_it_opens_says_why(host):
    host.answering.open = False
    session = opened(host, "chat:a")
    session.close(Close.REVOKED, "the token has been revoked")
    assert problem(session)["code"] == "unauthorized"


def test_a_reader_that_cannot_answer_is_not_asked(host):
    session = opened(host, "room:a")
    assert not session.probe(host.now() + 100)
    assert session.connection.pings == 0
