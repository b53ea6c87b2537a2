"""What is written to a connection: held while it opens, bounded while nobody reads, caught up with afterwards."""

from __future__ import annotations

import pytest

from services.gateway.fanout.subscriber import Opening, Subscriber, Subscription
from services.gateway.fanout.wire_format import JSON
from services.kernel.broker.port import Entry, EntryType
from services.kernel.domain.claims import Claims
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from tests.support.bare_session import fresh, opened
from tests.support.gateway_host import ManualHost, RecordingConnection, brief
from tests.support.publications import publication


@pytest.fixture
def host():
    return ManualHost()


def test_what_is_held_is_bounded():
    host = ManualHost(limits=Limits(outbox_bytes=1000))
    session = fresh(host)
    host.answering.open = False
    session.start(Claims(sub="bob"))
    for _ in range(20):
        session.send(b"x" * 100)
    assert session.connection.code == 4104
    assert session.connection.sent == []


def test_a_client_that_recovers_much_is_not_a_slow_one():
    host = ManualHost(limits=Limits(outbox_bytes=70_000))
    position = None
    for number in range(10):
        host.publish_http("chat:a", str(number) * 30_000)
        position = position or now_at(host)
    session = opened(host)
    session.connection.stuck = True
    subscription = Subscription(session, "chat:a", server=True)
    session.subscriptions["chat:a"] = subscription
    session.join(subscription, since=position, last=0)
    host.run()
    assert not session.is_closed
    assert session.connection.waiting < 100_000, "the rest waits until it is read"
    assert session.unread > 250_000
    host.publish_http("chat:a", "x" * 30_000)
    host.advance(1)
    assert not session.is_closed
    session.connection.drain()
    events = [event for event in session.connection.events() if event["type"] == "message"]
    assert [event["offset"] for event in events] == list(range(2, 12))
    assert (session.allowance, session.backlog) == (70_000, None)


def recovering(host):
    """A session that was sent 300 KB and does not read."""
    for number in range(10):
        host.publish_http("chat:a", str(number) * 30_000)
    session = opened(host)
    session.connection.stuck = True
    subscription = Subscription(session, "chat:a", server=True)
    session.subscriptions["chat:a"] = subscription
    session.join(subscription, since=None, last=10)
    host.run()
    return session


def test_who_does_not_read_a_replay_gets_only_so_much_behind_it():
    host = ManualHost(limits=Limits(outbox_bytes=70_000))
    session = recovering(host)
    for number in range(3):
        assert not session.is_closed, number
        host.publish_http("chat:a", "x" * 30_000)
        host.advance(1)
    assert session.connection.code == 4101
    assert (session.backlog, host.replay_budget.total) == (None, 0)


def test_whatever_else_it_is_sent_waits_behind_a_replay_within_the_same_bounds():
    host = ManualHost(limits=Limits(outbox_bytes=70_000))
    session = recovering(host)
    session.send(b"x" * 10_000)
    assert session.unread > 300_000
    assert not session.is_closed
    session.send(b"x" * 100_000)
    assert (session.connection.code, session.backlog) == (4101, None)


def test_a_second_replay_goes_behind_the_first_and_the_limit_is_as_before_when_both_are_read():
    host = ManualHost(limits=Limits(outbox_bytes=70_000))
    session = recovering(host)
    session.replay("chat:b", [publication("y" * 30_000)])
    session.connection.waiting, session.connection._stalled = 0, False
    session.writable()  # one piece more, and still it does not read
    assert session.allowance > 300_000
    session.connection.drain()
    channels = [event.get("channel") for event in session.connection.events()]
    assert channels[-1] == "chat:b"
    assert session.allowance == 70_000


def test_what_a_client_asked_for_may_wait_whole(host):
    session = opened(host)
    session.connection.stall()
    session.send_asked(b"x" * 2_000_000)
    assert not session.is_closed


def test_signals_are_not_kept_behind_a_replay():
    host = ManualHost(limits=Limits(outbox_bytes=70_000))
    session = recovering(host)
    before = session.unread
    audience = session.subscriptions["chat:a"].audience
    audience.signal(Entry(0, EntryType.TYPING, "chat:a", None, b'"user":"amy"'))
    assert session.unread == before


def test_what_comes_while_it_opens_stays_behind_what_it_missed():
    host = ManualHost(limits=Limits(outbox_bytes=70_000))
    host.publish_http("public:all", "before")
    first = opened(host)
    position = Position(host.position("public:all").epoch, 0)
    host.answering.open = False
    session = fresh(host)
    session.start(Claims(sub="amy"), {"public:all": position})
    host.publish_http("public:all", "live")
    host.answering.open = True
    host.run()
    host.advance(1)
    told = session.connection.events()
    assert brief(told) == ["connected", 1, 2]
    assert first.connection.code is None


def test_too_much_behind_a_replay_ends_a_connection_that_opens():
    host = ManualHost(limits=Limits(outbox_bytes=1000))
    session = fresh(host)
    host.answering.open = False
    session.start(Claims(sub="bob"))
    session.replay("chat:a", [publication("x")])
    for _ in range(20):
        session.send(b"x" * 100)
    assert (session.connection.code, session.connection.sent) == (4104, [])


def now_at(host):
    """The position of chat:a, known to the hub because somebody listens."""
    opened(host).subscribe_by_server("chat:a")
    host.run()
    return host.position("chat:a")


def test_what_nobody_reads_ends_the_connection():
    host = ManualHost(limits=Limits(outbox_bytes=70_000))
    session = opened(host)
    session.connection.stall()
    for _ in range(100):
        session.send(b"x" * 100)
    assert session.connection.code == 4101
    assert session.connection.most <= 70_000


def lagging(host):
    session = opened(host)
    session.subscribe_by_server("live:a")
    host.run()
    session.connection.payloads()
    session.connection.stall()
    return session


def test_who_has_drained_gets_the_newest_and_how_many_were_skipped(host):
    session = lagging(host)
    for number in range(3):
        host.publish_http("live:a", number)
        host.advance(1)
    session.connection.drain()
    (event,) = session.connection.events()
    assert (event["data"], event["skipped"]) == (2, 2)
    session.connection.stall()
    host.publish_http("live:a", 3)
    session.connection.drain()
    (event,) = session.connection.events()
    assert (event["data"], "skipped" in event) == (3, False)


def test_several_channels_catch_up_but_none_that_has_ended(host):
    session = lagging(host)
    channels = ["live:b", "live:c"]
    for channel in channels:
        session.subscribe_by_server(channel)
    host.run()
    for channel in ["live:a", *channels]:
        host.publish_http(channel, 1)
    session.unsubscribe_by_server("live:b", "enough")
    session.connection.drain()
    told = [event["channel"] for event in session.connection.events() if event["type"] == "message"]
    assert sorted(told) == ["live:a", "live:c"]


def test_what_it_left_meanwhile_is_not_caught_up_with(host):
    session = lagging(host)
    host.publish_http("live:a", 1)
    session.subscriptions["live:a"].audience = None
    session.connection.drain()
    assert session.connection.events() == []


def test_stalling_takes_it_off_the_fast_list(host):
    session = opened(host)
    session.subscribe_by_server("chat:a")
    host.run()
    session.connection.stall()
    assert not session.unhindered
    session.connection.drain()
    assert session.unhindered
    host.publish_http("chat:a", 1)
    assert brief(session.connection.events()) == [1]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("joined", (None, None)),
        ("refused", (None, None)),
        ("reset", (None, None, b"")),
        ("awaits", ("token",)),
        ("echoed", (None,)),
        ("close", (4000,)),
    ],
)
def test_what_an_audience_calls_is_for_each_session_to_answer(host, call, arguments):
    subscriber = Subscriber(RecordingConnection(host), JSON, limit=1000)
    with pytest.raises(NotImplementedError):
        getattr(subscriber, call)(*arguments)
    with pytest.raises(NotImplementedError):
        assert subscriber.limit


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
