"""The native protocol, command by command: what takes effect when, what is answered, and what can never get stuck."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.fanout import wire_format
from services.gateway.fanout.wire_format import MSGPACK
from services.gateway.session import command_queue as backlog_module
from services.gateway.session import echoes as echoes_module
from services.kernel.broker.port import Published
from services.kernel.domain import namespaces
from services.kernel.domain.capabilities import parse as capabilities
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from tests.support.gateway_host import TABLES, ManualHost, brief
from tests.support.native_session import ask, errors, fresh, join, opened, quiet, say
from tests.support.publications import publication


@pytest.fixture
def host():
    return ManualHost()


# Frames


def test_each_subprotocol_takes_its_own_kind_of_message(host):
    text, packed = opened(host), opened(host, wire_format=MSGPACK)
    text.received_binary(b"{}")
    packed.received_text(b"{}")
    assert (text.connection.code, packed.connection.code) == (1003, 1003)


def test_messagepack_commands_are_answered_in_messagepack(host):
    session = opened(host, wire_format=MSGPACK)
    session.received_binary(msgspec.msgpack.encode({"type": "ping", "id": 1}))
    assert msgspec.msgpack.decode(session.connection.payloads()[0]) == {"type": "pong", "id": 1}


def test_a_frame_that_is_no_command_is_named_and_the_connection_lives(host):
    session = opened(host)
    session.received_text(b'{"type":"dance","id":5}')
    session.received_text(b"\x00")
    assert errors(session.connection.events()) == [(5, "bad_request"), (None, "bad_request")]
    assert not session.is_closed


def test_ping_and_pong(host):
    session = opened(host)
    assert ask(session, type="ping", id="a") == [{"type": "pong", "id": "a"}]
    assert ask(session, type="pong") == []


def test_too_many_commands_are_refused_with_the_time_to_wait(host):
    session = opened(host)
    for _ in range(200):
        say(session, type="pong")
    (refusal,) = ask(session, type="ping", id=1)
    assert (refusal["code"], refusal["retry_after"]) == ("rate_limited", 0.02)
    host.advance(0.1)
    assert ask(session, type="ping")[0]["type"] == "pong"


# Opening


def test_the_first_message_brings_the_token(host):
    host.tokens["t"] = Claims(sub="bob", exp=host.wall() + 60)
    session = fresh(host)
    say(session, type="auth", token="t", id=1)
    say(session, type="ping", id=2)
    host.run()
    connected, ack, pong = session.connection.events()
    assert (connected["type"], connected["user"]) == ("connected", "bob")
    assert list(connected["channels"]) == ["user:bob", "public:all"]
    assert {name: connected[name] for name in host.announcement} == host.announcement
    assert ack == {"type": "ack", "id": 1, "user": "bob", "expires": int(host.wall() + 60)}
    assert pong == {"type": "pong", "id": 2}


def test_without_a_token_the_session_is_anonymous(host):
    session = fresh(host)
    connected, ack = ask(session, type="auth", id=1)
    assert (connected["user"], list(connected["channels"])) == (None, ["public:all"])
    assert (ack["user"], ack["expires"]) == (None, None)


def test_since_recovers_what_the_server_subscribes(host):
    first = opened(host)
    position = host.position("user:bob")
    host.publish_http("user:bob", "missed")
    first.close(4004)
    host.tokens["t"] = Claims(sub="bob")
    session = fresh(host)
    since = {"user:bob": {"epoch": position.epoch, "offset": 0}}
    since["public:all"] = {"epoch": "other", "offset": 9}
    connected, _, message = ask(session, type="auth", token="t", since=since)
    assert connected["channels"]["user:bob"]["recovered"] is True
    assert connected["channels"]["public:all"]["recovered"] is False
    assert connected["channels"]["public:all"]["began"] == 0
    assert message["data"] == "missed"


def test_anything_but_auth_first_is_closed(host):
    commands = [b'{"type":"ping"}', b"nonsense"]
    for frame in commands:
        session = fresh(host)
        session.received_text(frame)
        assert session.connection.code == 4001


def test_no_token_in_time_is_closed(host):
    session = fresh(host)
    host.tick(session)
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
    ask(session, type="auth", token="t")
    assert session.connection.code == code


def test_who_leaves_while_its_token_is_looked_at_is_not_opened(host):
    host.answering.open = False
    host.tokens["t"] = Claims(sub="bob")
    session = fresh(host)
    say(session, type="auth", token="t")
    session.received_text(b"nonsense")
    host.run()
    session.closed(1006, "", False)
    host.answering.open = True
    host.run()
    assert not session.opened
    assert host.sessions == {}


NAME, OTHER = "n" * 22, "o" * 22


def come(host, user=None, **auth):
    """A session that begins with an `auth` message; its id."""
    host.tokens["t"] = Claims(sub="bob")
    host.tokens["e"] = Claims(sub="eve")
    session = fresh(host)
    token = {"bob": {"token": "t"}, "eve": {"token": "e"}}.get(user, {})
    ask(session, type="auth", **token, **auth)
    return session


OPEN = {**TABLES["namespaces"], "room": {**TABLES["namespaces"]["room"], "subscribe": "anyone"}}


@pytest.mark.parametrize(("user", "who"), [("bob", {}), (None, {"client": NAME})])
def test_who_comes_back_ends_the_connection_it_had_and_nobody_sees_it(user, who):
    host = ManualHost(tables={**TABLES, "namespaces": OPEN})
    watcher = opened(host, user="amy")
    join(watcher, "room:a")
    old = come(host, user, **who)
    join(old, "room:a")
    assert brief(watcher.connection.events()) == ["join"]
    new = come(host, user, previous=old.id, **who)
    assert old.is_closed
    assert (old.connection.code, new.is_closed) == (4004, False)
    assert join(new, "room:a")["count"] == 2
    host.advance(60)
    assert watcher.connection.events() == []
    assert len(host.sessions) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("bob", {}), ("eve", {})),
        (("bob", {}), (None, {"client": NAME})),
        ((None, {}), (None, {})),
        ((None, {"client": NAME}), (None, {})),
        ((None, {"client": NAME}), (None, {"client": OTHER})),
        ((None, {"client": NAME}), ("eve", {"client": NAME})),
    ],
)
def test_a_stranger_ends_no_connection_and_takes_no_place(host, old, new):
    watcher = opened(host, user="amy")
    join(watcher, "room:a")
    mine = come(host, old[0], **old[1])
    other = come(host, new[0], previous=mine.id, **new[1])
    assert not mine.is_closed
    for session in (mine, other):
        if session.user:
            join(session, "room:a")
    users = [user for user in (old[0], new[0]) if user]
    assert [event["user"] for event in watcher.connection.events()] == users


def test_a_user_names_its_former_connection_once(host):
    session = opened(host)
    host.tokens["t"] = Claims(sub="bob")
    for former in ("one", "two"):
        ask(session, type="auth", token="t", previous=former)
    assert host.formers == [("one", "bob", "")]


def test_a_connection_does_not_end_itself(host):
    session = opened(host)
    host.tokens["t"] = Claims(sub="bob")
    ask(session, type="auth", token="t", previous=session.id)
    assert not session.is_closed


def test_a_refused_token_ends_no_former_connection(host):
    old = opened(host)
    session = fresh(host)
    ask(session, type="auth", token="unknown", previous=old.id)
    assert session.is_closed
    assert not old.is_closed


def test_the_keys_of_an_anonymous_client_are_its_own_over_its_connections(host):
    first = come(host, client=NAME)
    host.namespaces = namespaces.parse(
        {
            "namespaces": {
                **TABLES["namespaces"],
                "open": {"subscribe": "anyone", "publish": "anyone"},
            }
        }
    )
    publish = {"type": "publish", "id": 1, "channel": "open:a", "data": 1, "key": "k"}
    answers = [
        ask(session, **publish)[-1]["duplicate"]
        for session in (first, come(host, client=NAME), come(host, client=OTHER), come(host))
    ]
    assert answers == [False, True, False, False]


def test_commands_before_connected_wait_for_it(host):
    host.answering.open = False
    session = fresh(host)
    session.start(Claims(sub="bob"))
    say(session, type="subscribe", id=1, channel="chat:a")
    say(session, type="ping", id=2)
    host.run()
    assert session.connection.events() == []
    host.answering.open = True
    host.run()
    kinds = [(event["type"], event.get("id")) for event in session.connection.events()]
    assert kinds == [("connected", None), ("ack", 1), ("pong", 2)]


def test_a_client_that_stalls_and_drains_while_opening_waits_all_the_same(host):
    host.answering.open = False
    session = fresh(host)
    session.start(Claims(sub="bob"))
    say(session, type="unsubscribe", id=1, channel="user:bob")
    session.connection.stall()
    session.connection.drain()
    assert session.connection.events() == []
    host.answering.open = True
    host.run()
    assert brief(session.connection.events()) == ["connected", "ack"]


# Renewal


def test_a_new_token_renews_the_session(host):
    session = opened(host, exp=host.wall() + 10)
    host.tokens["t"] = Claims(sub="bob", exp=host.wall() + 600)
    assert ask(session, type="auth", token="t", id=1) == [
        {"type": "ack", "id": 1, "user": "bob", "expires": int(host.wall() + 600)}
    ]


def test_another_users_token_is_forbidden_and_changes_nothing(host):
    session = opened(host)
    host.tokens["t"] = Claims(sub="amy")
    assert errors(ask(session, type="auth", token="t", id=1)) == [(1, "forbidden")]
    assert errors(ask(session, type="auth", id=2)) == [(2, "bad_request")]
    assert session.user == "bob"


def test_keys_that_are_away_do_not_cost_the_connection(host):
    session = opened(host)
    host.tokens["t"] = OpenlineError(Code.UNAVAILABLE, "keys are away")
    assert errors(ask(session, type="auth", token="t", id=1)) == [(1, "unavailable")]
    assert ask(session, type="ping")[0]["type"] == "pong"


def test_a_bad_token_ends_a_live_connection(host):
    session = opened(host)
    ask(session, type="auth", token="unknown")
    assert session.connection.code == 4001


@pytest.mark.parametrize("result", [Claims(sub="bob"), OpenlineError(Code.UNAVAILABLE, "away")])
def test_who_leaves_while_renewing_gets_nothing(host, result):
    session = opened(host)
    host.tokens["t"] = result
    host.answering.open = False
    say(session, type="auth", token="t")
    host.run()
    session.closed(1000, "", True)
    host.answering.open = True
    host.run()
    assert session.connection.events() == []


# Subscribing


def test_subscribe_last_and_since(host):
    for number in range(5):
        host.publish_http("chat:a", number)
    session = opened(host)
    ack, *messages = ask(session, type="subscribe", id=1, channel="chat:a", last=2)
    assert (ack["offset"], brief(messages)) == (3, [4, 5])
    assert "recovered" not in ack
    ask(session, type="unsubscribe", channel="chat:a")
    since = {"epoch": ack["epoch"], "offset": 2}
    ack, *messages = ask(session, type="subscribe", channel="chat:a", since=since)
    assert (ack["offset"], ack["recovered"], brief(messages)) == (2, True, [3, 4, 5])
    ask(session, type="unsubscribe", channel="chat:a")
    since["epoch"] = "other"
    (ack,) = ask(session, type="subscribe", channel="chat:a", since=since)
    assert (ack["offset"], ack["recovered"], ack["began"]) == (5, False, 0)


def test_too_many_channels_that_are_new_here_are_refused(host):
    session = opened(host)
    host.seeking = OpenlineError(Code.RATE_LIMITED, "too many new channels", retry_after=1)
    for number, kind in enumerate(("subscribe", "history")):
        answer = ask(session, type=kind, id=number, channel="public:new", limit=1)
        assert errors(answer) == [(number, "rate_limited")]
    assert "public:new" not in session.subscriptions


def test_where_presence_is_on_the_ack_counts(host):
    assert join(opened(host), "room:a")["count"] == 1
    assert join(opened(host, "amy"), "room:a")["count"] == 2


def test_refused_subscribes_are_named(host):
    session = opened(host, None)
    join(session, "public:news")
    for channel, code in [
        ("public:news", "already_subscribed"),
        ("room:a", "forbidden"),
        ("nowhere:a", "unknown_namespace"),
        ("no channel", "bad_request"),
    ]:
        assert errors(ask(session, type="subscribe", id=1, channel=channel)) == [(1, code)]


def test_a_subscribe_that_the_store_cannot_confirm_is_refused_and_nothing_is_stuck(host):
    session = opened(host)
    host.broker.down = True
    say(session, type="subscribe", id=1, channel="room:a")
    say(session, type="subscribe", id=2, channel="chat:b")
    host.run()
    assert errors(session.connection.events()) == [(1, "unavailable")]
    host.advance(6)
    assert errors(session.connection.events()) == [(2, "unavailable")]
    host.broker.down = False
    join(session, "chat:b")


def test_the_server_ends_a_subscribe_that_is_under_way(host):
    session = opened(host)
    host.entering.open = False
    say(session, type="subscribe", id=1, channel="room:a")
    say(session, type="ping", id=2)
    host.run()
    session.unsubscribe_by_server("room:a", "not you")
    host.run()
    events = session.connection.events()
    assert [event["type"] for event in events] == ["unsubscribed", "error", "pong"]
    assert errors(events) == [(1, "forbidden")]
    host.entering.open = True
    host.run()
    assert session.subscriptions.keys() == {"user:bob", "public:all"}
    assert host.counts.get("room:a", 0) == 0


def test_the_server_subscribes_and_unsubscribes(host):
    session = opened(host)
    session.subscribe_by_server("chat:a")
    session.subscribe_by_server("chat:a")
    host.run()
    (event,) = session.connection.events()
    assert (event["type"], event["channel"], event["offset"]) == ("subscribed", "chat:a", 0)
    session.unsubscribe_by_server("chat:a", "enough")
    session.unsubscribe_by_server("chat:a", "enough")
    assert session.connection.events() == [
        {"type": "unsubscribed", "channel": "chat:a", "reason": "enough"}
    ]


def test_a_server_made_subscription_that_cannot_be_had_is_silent(host):
    session = opened(host)
    host.broker.down = True
    session.subscribe_by_server("chat:a")
    host.advance(6)
    assert session.connection.events() == []
    assert "chat:a" not in session.subscriptions


def test_unsubscribe(host):
    session = opened(host)
    join(session)
    assert ask(session, type="unsubscribe", id=1, channel="chat:a") == [
        {"type": "ack", "id": 1, "channel": "chat:a"}
    ]
    assert errors(ask(session, type="unsubscribe", id=2, channel="chat:a")) == [
        (2, "not_subscribed")
    ]


# Order


def test_commands_take_effect_in_their_order(host):
    session = opened(host)
    say(session, type="subscribe", id=1, channel="chat:a")
    say(session, type="publish", id=2, channel="chat:a", data=1)
    say(session, type="publish", id=3, channel="chat:a", data=2)
    say(session, type="history", id=4, channel="chat:a")
    say(session, type="unsubscribe", id=5, channel="chat:a")
    say(session, type="publish", id=6, channel="chat:a", data=3)
    host.run()
    host.advance(1)
    events = session.connection.events()
    assert [event["id"] for event in events if "id" in event] == [1, 2, 3, 4, 5, 6]
    (history,) = [event for event in events if event.get("id") == 4]
    assert [message["data"] for message in history["messages"]] == [1, 2]
    assert errors(events) == [(6, "not_subscribed")]


def test_what_follows_a_publish_waits_until_it_is_stored(host):
    session = opened(host)
    say(session, type="subscribe", id=1, channel="chat:a")
    host.run()
    host.storing.open = False
    say(session, type="publish", id=2, channel="chat:a", data=1)
    say(session, type="history", id=3, channel="chat:a")
    say(session, type="publish", id=4, channel="chat:a", data=2)
    host.run()
    assert [event["id"] for event in session.connection.events() if "id" in event] == [1]
    host.storing.open = True
    host.run()
    acks = [event for event in session.connection.events() if "id" in event]
    assert [event["id"] for event in acks] == [2, 3, 4]
    assert [message["data"] for message in acks[1]["messages"]] == [1]


def test_a_session_is_not_quiet_while_a_publish_or_an_answer_is_under_way(host):
    session = opened(host)
    say(session, type="subscribe", id=0, channel="chat:a")
    host.run()
    later = host.clock + 10
    assert session.is_quiet(later)
    host.storing.open = False
    say(session, type="publish", id=1, channel="chat:a", data=1)
    assert not session.is_quiet(later)
    say(session, type="history", id=2, channel="chat:a")
    host.storing.open = True
    host.run()
    assert session.is_quiet(later)
    host.answering.open = False
    say(session, type="history", id=3, channel="chat:a")
    assert not session.is_quiet(later)


def test_more_waiting_commands_than_can_be_kept_are_refused(host, monkeypatch):
    monkeypatch.setattr(backlog_module, "MAX_WAITING", 3)
    session = opened(host)
    host.answering.open = False
    say(session, type="subscribe", id=0, channel="chat:a")
    for number in range(1, 5):
        say(session, type="ping", id=number)
    assert errors(session.connection.events()) == [(4, "limit_exceeded")]
    host.answering.open = True
    host.run()
    answered = [event["id"] for event in session.connection.events()]
    assert answered == [0, 1, 2, 3]


def test_a_client_whose_commands_wait_is_not_read_from(host):
    session = opened(host)
    host.answering.open = False
    say(session, type="subscribe", id=0, channel="chat:a")
    for _ in range(3):
        say(session, type="publish", channel="chat:a", data="x" * 100_000)
    assert session.connection.paused
    host.answering.open = True
    host.run()
    assert not session.connection.paused
    say(session, type="publish", channel="chat:a", data="x")
    assert not session.connection.paused


def test_large_answers_wait_until_the_client_reads(host):
    session = opened(host)
    join(session)
    session.connection.stall()
    say(session, type="history", id=1, channel="chat:a")
    say(session, type="ping", id=2)
    say(session, type="typing", channel="chat:a", id=3)
    host.run()
    assert session.connection.events() == []
    session.connection.drain()
    host.run()
    assert [event["id"] for event in session.connection.events()] == [1, 2, 3]


def test_answers_that_nobody_reads_end_the_connection(host):
    session = opened(host)
    session.connection.stall()
    session.allowance = session.connection.waiting + 100
    for number in range(20):
        say(session, type="ping", id=number)
    assert session.connection.code == 4101
    assert session.connection.most <= session.allowance


# Publishing


def test_publish_is_acked_and_comes_back(host):
    session = opened(host)
    join(session)
    ack, message = ask(session, type="publish", id=1, channel="chat:a", data={"a": 1}, key="k")
    assert (ack["offset"], ack["duplicate"]) == (1, False)
    assert (message["data"], message["from"], message["key"]) == ({"a": 1}, "bob", "k")
    (ack,) = ask(session, type="publish", id=2, channel="chat:a", data={"a": 1}, key="k")
    assert (ack["offset"], ack["duplicate"]) == (1, True)


def test_an_ephemeral_publish_has_no_place(host):
    session = opened(host)
    join(session)
    ack, message = ask(session, type="publish", id=1, channel="chat:a", data=1, ephemeral=True)
    assert ack == {"type": "ack", "id": 1, "duplicate": False}
    assert "offset" not in message


def test_refused_publishes_are_named(host):
    session = opened(host)
    assert errors(ask(session, type="publish", id=1, channel="chat:a", data=1)) == [
        (1, "not_subscribed")
    ]
    assert errors(ask(session, type="publish", id=2, channel="notify:a", data=1)) == [
        (2, "forbidden")
    ]
    join(session)
    big = "x" * 70_000
    assert errors(ask(session, type="publish", id=3, channel="chat:a", data=big)) == [
        (3, "too_large")
    ]
    host.broker.down = True
    for number, echo in ((4, False), (5, True)):
        events = ask(session, type="publish", id=number, channel="chat:a", data=1, echo=echo)
        assert errors(events) == [(number, "unavailable")]
    assert not len(session._echoes)


def test_what_the_store_answers_after_the_end_is_dropped(host):
    session = opened(host)
    join(session)
    host.storing.open = False
    say(session, type="publish", channel="chat:a", data=1)
    session.closed(1006, "", False)
    host.storing.open = True
    host.run()
    assert session.connection.events() == []


# Publishing without echo


def test_the_ack_takes_the_place_of_the_message(host):
    bob, amy = opened(host), opened(host, "amy")
    join(bob)
    join(amy)
    host.publish_http("chat:a", "before")
    quiet(bob, 1)
    host.run()
    host.publish_http("chat:a", "after")
    host.advance(1)
    events = bob.connection.events()
    assert brief(events) == [1, "ack", 3]
    assert events[1]["offset"] == 2
    assert brief(amy.connection.events()) == [1, 2, 3]
    assert not len(bob._echoes)


def test_without_a_subscription_there_is_no_echo_to_leave_out(host):
    session = opened(host, "bob", channels=capabilities({"live:*": ["publish"]}))
    events = ask(session, type="publish", id=1, channel="live:a", data=1, echo=False)
    assert [event["type"] for event in events] == ["ack"]


def test_the_store_may_answer_before_the_bus(host):
    session = opened(host)
    join(session)
    host.reading = False
    quiet(session, 1)
    host.run()
    assert session.connection.events() == []
    host.reading = True
    host.run()
    (ack,) = session.connection.events()
    assert (ack["id"], ack["offset"]) == (1, 1)


def test_the_bus_may_answer_before_the_store(host):
    session = opened(host)
    join(session)
    host.storing.open = False
    quiet(session, 1)
    host.publish_http("chat:a", 1, token=f"{session.id}.1")
    assert [event["id"] for event in session.connection.events()] == [1]
    host.storing.open = True
    host.run()
    host.advance(1)
    assert brief(session.connection.events()) == [2]


def test_an_ephemeral_one_is_acked_at_once_and_kept_from_its_sender(host):
    session = opened(host)
    join(session)
    host.reading = False
    quiet(session, 1, ephemeral=True)
    host.run()
    assert [event["type"] for event in session.connection.events()] == ["ack"]
    host.reading = True
    host.run()
    assert session.connection.events() == []
    assert not len(session._echoes)


def test_a_duplicate_of_what_was_delivered_is_acked_at_once(host):
    session = opened(host)
    join(session)
    quiet(session, 1, key="k")
    host.run()
    session.connection.events()
    quiet(session, 2, key="k")
    host.run()
    (ack,) = session.connection.events()
    assert (ack["id"], ack["offset"], ack["duplicate"]) == (2, 1, True)


def test_a_duplicate_of_what_is_still_on_the_bus_is_acked_when_it_has_come(host):
    session = opened(host)
    join(session)
    host.reading = False
    quiet(session, 1, key="k")
    quiet(session, 2, key="k")
    host.run()
    host.advance(1)
    assert session.connection.events() == []
    host.reading = True
    host.run()
    host.advance(1)
    acks = [(event["id"], event["offset"]) for event in session.connection.events()]
    assert acks == [(1, 1), (2, 1)]
    assert not len(session._echoes)
    assert host.timers == 0


def reset(session, channel, position, reason):
    event = wire_format.reset(session.wire_format, channel, position, began=1, reason=reason)
    session.reset(session.subscriptions[channel], position, event)


def test_without_echo_while_the_server_is_subscribing_the_ack_is_all_that_comes(host):
    session = opened(host)
    host.answering.open = False
    session.subscribe_by_server("live:a")
    say(session, type="publish", id=1, channel="live:a", data=1, echo=False)
    host.run()
    token = f"{session.id}.1"
    session._confirm(token, session._echoes.stored(token, Published("e", 1)))
    assert brief(session.connection.events()) == ["ack"]
    host.answering.open = True
    host.run()
    host.advance(1)
    assert "message" not in [event["type"] for event in session.connection.events()]


def test_a_reset_sends_pending_acks_first(host):
    session = opened(host)
    join(session)
    epoch = host.position("chat:a").epoch
    host.reading = False
    quiet(session, 1)
    quiet(session, 2, ephemeral=True)
    host.run()
    reset(session, "chat:a", Position("new", 1), "epoch")
    events = session.connection.events()
    assert brief(events) == ["ack", "ack", "reset"]
    assert [event["id"] for event in events[:2]] == [2, 1]
    assert (events[1]["epoch"], events[2]["epoch"]) == (epoch, "new")


def test_what_a_reset_leaves_ahead_waits_for_its_place_and_what_it_covers_is_acked_behind(host):
    session = opened(host)
    join(session)
    epoch = host.position("chat:a").epoch
    host.reading = False
    quiet(session, 1)
    quiet(session, 2)
    host.run()
    reset(session, "chat:a", Position(epoch, 1), "lagged")
    assert brief(session.connection.events()) == ["reset", "ack"]
    assert len(session._echoes) == 1
    reset(session, "user:bob", Position("e", 1), "epoch")
    assert len(session._echoes) == 1


def test_an_answer_from_before_a_reset_is_acked_at_once(host):
    session = opened(host)
    join(session)
    before = host.position("chat:a").epoch
    host.storing.open = False
    quiet(session, 1)
    host.broker.fence()
    host.beat()
    host.advance(1)
    told = [event for event in session.connection.events() if event["channel"] == "chat:a"]
    assert brief(told) == ["reset"]
    token = f"{session.id}.1"
    echo = session._echoes.stored(token, Published(before, 7))
    session._confirm(token, echo)
    session._confirm(token, echo)
    assert [event["offset"] for event in session.connection.events()] == [7]
    assert session.awaits(token)


def test_an_answer_in_an_epoch_that_is_not_known_yet_is_acked_behind_its_reset(host):
    session = opened(host)
    join(session)
    host.storing.open = False
    quiet(session, 1)
    token = f"{session.id}.1"
    session._confirm(token, session._echoes.stored(token, Published("new", 7)))
    assert session.connection.events() == []
    reset(session, "chat:a", Position("new", 7), "epoch")
    assert brief(session.connection.events()) == ["reset", "ack"]
    assert not len(session._echoes)


def test_who_reads_a_long_replay_or_recovers_for_long_is_asked_for_a_sign_of_life(host):
    session = opened(host)
    session.replay("chat:a", [publication("x")])
    session.connection.stall()
    session.replay("chat:a", [publication("y")])
    session.connection.events()
    session.ping()
    assert brief(session.connection.events()) == ["ping"]
    opening = fresh(host)
    opening.ping()
    assert (opening.connection.pings, opening.connection.sent) == (1, [])


def test_an_answer_that_there_is_no_room_for_is_refused_for_now():
    host = ManualHost(limits=Limits(replay_bytes=1))
    session = opened(host)
    join(session)
    for number in range(3):
        host.publish_http("chat:a", str(number) * 30_000)
    session.connection.events()
    assert ask(session, type="history", id=1, channel="chat:a")[0]["type"] == "ack"
    host.replay_budget.hold_bytes("another", 10)
    (refusal,) = ask(session, type="history", id=2, channel="chat:a")
    assert (refusal["code"], refusal["temporary"]) == ("unavailable", True)


def test_acks_do_not_wait_for_a_channel_that_the_server_has_ended(host):
    session = opened(host)
    join(session)
    host.reading = False
    quiet(session, 1)
    host.run()
    host.storing.open = False
    quiet(session, 2)
    session.unsubscribe_by_server("chat:a", "enough")
    assert [event["type"] for event in session.connection.events()] == ["ack", "unsubscribed"]
    host.storing.open = True
    host.run()
    assert [event["id"] for event in session.connection.events()] == [2]
    assert not len(session._echoes)


def test_unsubscribing_sends_pending_acks_first(host):
    session = opened(host)
    join(session)
    host.reading = False
    quiet(session, 1)
    host.run()
    events = ask(session, type="unsubscribe", id=2, channel="chat:a")
    assert [event["id"] for event in events] == [1, 2]


def test_echoes_are_bounded_and_those_that_may_never_come_give_way(host, monkeypatch):
    monkeypatch.setattr(echoes_module, "MAX_ECHOES", 2)
    session = opened(host)
    join(session)
    host.reading = False
    quiet(session, 1, ephemeral=True)
    quiet(session, 2)
    host.run()
    session.connection.events()
    quiet(session, 3)
    quiet(session, 4)
    host.run()
    assert errors(session.connection.events()) == [(4, "rate_limited")]


# Typing, presence, history, direct


def test_typing_reaches_others_once_a_second(host):
    bob, amy = opened(host), opened(host, "amy")
    join(bob)
    join(amy)
    assert ask(bob, type="typing", channel="chat:a") == []
    assert ask(bob, type="typing", id=1, channel="chat:a") == [{"type": "ack", "id": 1}]
    assert amy.connection.events() == [{"type": "typing", "channel": "chat:a", "user": "bob"}]
    assert errors(ask(bob, type="typing", id=2, channel="chat:b")) == [(2, "not_subscribed")]
    host.broker.down = True
    host.advance(2)
    assert ask(bob, type="typing", channel="chat:a") == []


def test_presence(host):
    session = opened(host)
    assert errors(ask(session, type="presence", id=1, channel="room:a")) == [(1, "not_subscribed")]
    join(session, "room:a")
    (ack,) = ask(session, type="presence", id=2, channel="room:a")
    assert (ack["count"], ack["users"], ack["members"][0]["user"]) == (1, 1, "bob")
    bad = ask(session, type="presence", id=3, channel="room:a", cursor="?")
    assert errors(bad) == [(3, "bad_request")]


def test_history(host):
    session = opened(host)
    join(session)
    for number in range(3):
        host.publish_http("chat:a", number)
    host.advance(1)
    session.connection.events()
    (ack,) = ask(session, type="history", id=1, channel="chat:a", limit=2, reverse=True)
    assert ([m["offset"] for m in ack["messages"]], ack["more"], ack["offset"]) == ([3, 2], True, 3)
    since = {"epoch": "other", "offset": 0}
    assert errors(ask(session, type="history", id=2, channel="chat:a", since=since)) == [
        (2, "conflict")
    ]
    assert errors(ask(session, type="history", id=3, channel="chat:b")) == [(3, "not_subscribed")]


def test_direct(host):
    session = opened(host)
    session.direct(b'{"a":1}', 17)
    assert session.connection.events() == [{"type": "direct", "data": {"a": 1}, "ts": 17}]


def test_ping_is_an_event_that_a_browser_can_see(host):
    session = opened(host)
    host.tick(session)
    assert session.connection.events() == [{"type": "ping"}]


def test_limits_name_the_rate(host):
    limited = ManualHost(limits=Limits(command_rate=2, command_burst=1))
    session = opened(limited)
    say(session, type="pong")
    (refusal,) = ask(session, type="ping")
    assert "2 a second" in refusal["message"]


def test_what_comes_beyond_the_rate_is_not_looked_at():
    limited = ManualHost(limits=Limits(command_rate=2, command_burst=1))
    session = opened(limited)
    say(session, type="pong")
    session.received_text(b'{"type":"publish","id":7,"channel":"chat:a","data":%b' % (b"[" * 9999))
    assert errors(session.connection.events()) == [(7, "rate_limited")]


def test_data_that_can_never_be_published_is_not_looked_at(host):
    deep = b"[" * 65 + b"]" * 65
    blanks = b" " * 2 * host.namespaces.of("chat:a").message_bytes
    for user, data, code in (
        (None, deep, "forbidden"),
        ("bob", b"[%b%b]" % (blanks, deep), "too_large"),
        ("bob", deep, "invalid_data"),
    ):
        session = opened(host, user)
        session.received_text(b'{"type":"publish","id":1,"channel":"chat:a","data":%b}' % data)
        assert errors(session.connection.events()) == [(1, code)]
