"""What frames do to channels, publishes and questions, without a network or a loop."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openline.errors import OpenlineError
from openline.feed import Reader
from openline.outbox import Entry, Outbox, Pace
from openline.session import Session
from openline.types import (
    Count,
    Direct,
    Join,
    Leave,
    Lost,
    Message,
    Position,
    Published,
    Recovered,
    State,
    Typing,
)

pytestmark = pytest.mark.clients

ROOM = "room:a"


class Wire:
    def __init__(self):
        self.sent = []
        self.restarted = None

    def send(self, frame):
        self.sent.append(frame)

    def send_encoded(self, frame):
        self.sent.append(json.loads(frame))

    def restart(self, reason):
        self.restarted = reason

    def last(self, kind):
        return next(frame for frame in reversed(self.sent) if frame["type"] == kind)

    def kinds(self):
        return [frame["type"] for frame in self.sent]


class Inbox:
    def __init__(self):
        self.items = []
        self.stands = False
        self.error = None
        self.room = True

    def put(self, position, event):
        self.items.append((position, event))

    def stand(self):
        self.stands = True

    def when_taken(self, work):
        if self.room:
            work()
        else:
            self.then = work

    def fail(self, error):
        self.error = error

    def of(self, kind):
        return [event for _, event in self.items if isinstance(event, kind)]

    @property
    def position(self):
        return next((p for p, _ in reversed(self.items) if p is not None), None)


class Owner:
    def __init__(self):
        self.told = []

    def greeted(self, line, connected):
        self.told.append(("greeted", connected.connection))

    def expiring(self, line):
        self.told.append(("expiring", line))

    def renewal_refused(self, line, error):
        self.told.append(("refused", error.code))

    def leaving(self, line, within):
        self.told.append(("leaving", within))

    def direct(self, message):
        self.told.append(("direct", message))


class Talk:
    """A session whose server is the test."""

    def __init__(self, *, limit=500):
        self.owner = Owner()
        self.session = Session(
            self.owner,
            Outbox(Pace(), limit=limit, patience=240),
            client="c" * 32,
            random=lambda: 0.5,
        )
        self.now = 0.0
        self.line = Wire()
        self.results = {}

    def connect(self, token="t", *, user="ada", connection="c1", channels=None, **fields):
        self.line = Wire()
        self.line.sent += self.session.flight(self.line, token)
        self.hear(
            "connected",
            connection=connection,
            user=user,
            node="n",
            expires=None,
            ping=25,
            channels=channels or {},
            **fields,
        )
        return self.line

    def hear(self, kind, **fields):
        frame = {"type": kind, **{name.rstrip("_"): value for name, value in fields.items()}}
        self.session.received(self.line, frame, self.now)

    def cut(self):
        self.session.lost(self.line, self.now)

    def open(self, name=ROOM, **options):
        return self.session.open(name, Reader(Inbox(), **options), self.now)

    def read(self, name=ROOM, **options):
        """One more reader of a channel that is read already."""
        reader = Reader(Inbox(), **options)
        self.session.open(name, reader, self.now)
        return reader

    def close(self, feed):
        for reader in feed.readers:
            self.session.close(feed, reader)

    def live(self, offset=5, epoch="e", **options):
        feed = self.open(**options)
        self.stand(offset, epoch)
        return feed

    def stand(self, offset=5, epoch="e", **fields):
        number = self.line.last("subscribe")["id"]
        self.hear("ack", id=number, channel=ROOM, epoch=epoch, offset=offset, **fields)

    def message(self, offset, channel=ROOM, **fields):
        self.hear("message", channel=channel, data=offset, offset=offset, ts=1, **fields)

    def publish(self, channel=ROOM, *, echo=True, key="k"):
        number = self.session.id()
        frame = {"type": "publish", "id": number, "channel": channel, "key": f"{key}{number}"}

        def settle(result):
            self.results[number] = result

        entry = Entry(number, channel, json.dumps(frame), settle, key=f"{key}{number}", echo=echo)
        self.session.outbox.add(entry, self.now)
        self.session.due(self.now)
        return number


@pytest.fixture
def talk():
    return Talk()


def offsets(feed):
    return [message.offset for message in feed.readers[0].inbox.of(Message)]


# ------------------------------------------------------------------------------------------------ coming


def test_the_flight_is_auth_then_each_channel(talk):
    talk.open("room:a", last=3)
    talk.open("room:b", since=Position("e", 9))
    frames = talk.session.flight(Wire(), "t")
    assert [frame["type"] for frame in frames] == ["auth", "subscribe", "subscribe"]
    assert frames[0]["token"] == "t"
    assert frames[1]["last"] == 3
    assert frames[2]["since"] == {"epoch": "e", "offset": 9}


def test_without_a_token_the_client_names_itself(talk):
    (auth,) = talk.session.flight(Wire(), None)
    assert auth["client"] == "c" * 32
    assert "token" not in auth


def test_a_channel_that_is_read_between_flight_and_greeting_is_asked_for(talk):
    early = talk.open("room:early")
    talk.line = line = Wire()
    line.sent += talk.session.flight(line, "t")
    talk.open("room:late")
    assert talk.session.line is None
    greeting = {"connection": "c1", "user": "ada", "node": "n", "expires": None, "ping": 25}
    talk.hear("connected", **greeting, channels={})
    asked = [frame["channel"] for frame in line.sent if frame["type"] == "subscribe"]
    assert asked == [early.name, "room:late"]


def test_whoever_comes_back_names_the_connection_before(talk):
    talk.connect(connection="c1")
    talk.cut()
    (auth,) = talk.session.flight(Wire(), "t")
    assert auth["previous"] == "c1"


def test_a_subscription_stands_with_its_ack(talk):
    talk.connect()
    feed = talk.open()
    assert (feed.state, feed.readers[0].inbox.stands) == ("joining", False)
    talk.stand(5)
    assert (feed.state, feed.readers[0].inbox.stands) == ("live", True)
    assert feed.readers[0].inbox.position == Position("e", 5)


def test_messages_behind_the_ack_in_the_same_read_are_delivered(talk):
    talk.connect()
    feed = talk.live(5)
    talk.message(6)
    talk.message(6)
    talk.message(7)
    assert offsets(feed) == [6, 7]
    assert feed.readers[0].inbox.position == Position("e", 7)


def test_an_ephemeral_message_moves_nothing(talk):
    talk.connect()
    feed = talk.live(5)
    talk.hear("message", channel=ROOM, data="now", ts=1)
    assert offsets(feed) == [None]
    assert feed.readers[0].inbox.position == Position("e", 5)


def test_a_gap_is_told_before_the_message_behind_it(talk):
    talk.connect()
    feed = talk.live(5)
    talk.message(8)
    kinds = [
        type(event)
        for _, event in feed.readers[0].inbox.items
        if isinstance(event, (Lost, Message))
    ]
    assert kinds == [Lost, Message]


def test_events_of_presence_come_in_the_order_of_the_wire(talk):
    talk.connect()
    feed = talk.live()
    talk.hear("join", channel=ROOM, user="b", connection="x", count=2, users=2, first=True, info=7)
    talk.hear("typing", channel=ROOM, user="b")
    talk.hear("leave", channel=ROOM, user="b", connection="x", count=1, users=1, last=True)
    talk.hear("count", channel=ROOM, count=300, users=200)
    events = [event for _, event in feed.readers[0].inbox.items if not isinstance(event, State)]
    assert events[1:] == [
        Join(ROOM, "b", "x", 2, 2, 7, first=True),
        Typing(ROOM, "b"),
        Leave(ROOM, "b", "x", 1, 1, last=True),
        Count(ROOM, 300, 200),
    ]


def test_what_nobody_reads_and_nobody_knows_is_left_alone(talk):
    talk.connect()
    talk.message(1, channel="room:other")
    talk.hear("join", channel="room:other", user="b", connection="x", count=1, users=1)
    talk.hear("reset", channel="room:other", epoch="e", offset=1, began=1, reason="", within=1)
    talk.hear("brand_new", anything=1)
    talk.hear("error", code="bad_request", message="?", temporary=False)
    talk.hear("ack", id="not ours")
    talk.hear("pong")


def test_the_owner_hears_of_its_connection(talk):
    line = talk.connect()
    talk.hear("expiring", expires=9)
    talk.hear("reconnect", within=3)
    talk.hear("direct", data="psst", ts=4)
    assert talk.owner.told[1:] == [
        ("expiring", line),
        ("leaving", 3.0),
        ("direct", Direct("psst", 4)),
    ]


def test_a_ping_is_answered(talk):
    talk.connect()
    talk.hear("ping")
    assert talk.line.kinds()[-1] == "pong"


# ------------------------------------------------------------------------------------------------ coming back


def test_what_was_missed_comes_then_recovered_with_its_count(talk):
    talk.connect()
    feed = talk.live(5)
    talk.cut()
    assert feed.state == "rejoining"
    talk.connect(connection="c2")
    assert talk.line.last("subscribe")["since"] == {"epoch": "e", "offset": 5}
    talk.stand(5, recovered=True, began=0)
    talk.message(6)
    talk.message(7)
    talk.hear("pong", id=talk.line.last("ping")["id"])
    talk.message(8)
    assert [m.recovered for m in feed.readers[0].inbox.of(Message)] == [True, True, False]
    assert feed.readers[0].inbox.of(Recovered) == [Recovered(ROOM, 2)]
    assert not feed.readers[0].inbox.of(Lost)


def test_not_recovered_is_told_with_the_new_position(talk):
    talk.connect()
    feed = talk.live(5)
    talk.cut()
    talk.connect()
    talk.stand(30, "f", recovered=False, began=20)
    (lost,) = feed.readers[0].inbox.of(Lost)
    assert (lost.position, lost.began) == (Position("f", 30), 20)
    assert feed.readers[0].inbox.position == Position("f", 30)


def test_a_reset_is_told_with_a_wait_inside_its_time(talk):
    talk.connect()
    feed = talk.live(5)
    talk.hear("reset", channel=ROOM, epoch="f", offset=9, began=9, reason="moved", within=4)
    assert feed.readers[0].inbox.of(Lost) == [Lost(ROOM, "moved", Position("f", 9), 9, 2.0)]
    talk.message(10)
    assert offsets(feed) == [10]


def test_while_moving_the_old_line_delivers_and_nothing_comes_twice(talk):
    old = talk.connect()
    feed = talk.live(5)
    new = Wire()
    new.sent += talk.session.flight(new, "t")
    talk.message(6)
    talk.line = new
    talk.hear(
        "connected", connection="c2", user="ada", node="m", expires=None, ping=25, channels={}
    )
    talk.session.lost(old, talk.now)
    talk.stand(5, recovered=True)
    talk.message(6)
    talk.message(7)
    assert offsets(feed) == [6, 7]
    assert feed.state == "live"


def test_a_line_that_was_never_greeted_takes_nothing_with_it(talk):
    talk.connect()
    feed = talk.live(5)
    failed = Wire()
    talk.session.flight(failed, "t")
    talk.session.lost(failed, talk.now)
    assert feed.state == "live"
    talk.message(6)
    assert offsets(feed) == [6]


def test_a_temporary_refusal_is_tried_again_later(talk):
    talk.connect()
    feed = talk.open()
    number = talk.line.last("subscribe")["id"]
    talk.hear("error", id=number, code="unavailable", message="", temporary=True, retry_after=2)
    assert talk.session.next(talk.now) == 3.0
    talk.session.due(2.9)
    assert talk.line.kinds().count("subscribe") == 1
    talk.session.due(3.0)
    assert talk.line.kinds().count("subscribe") == 2
    talk.stand()
    assert feed.state == "live"


def test_a_final_refusal_fails_the_channel_and_is_not_repeated(talk):
    talk.connect()
    feed = talk.open()
    number = talk.line.last("subscribe")["id"]
    talk.hear("error", id=number, code="forbidden", message="no", temporary=False)
    assert (feed.state, feed.readers[0].inbox.error.code) == ("failed", "forbidden")
    talk.cut()
    assert [frame["type"] for frame in talk.session.flight(Wire(), "t")] == ["auth"]


def test_the_server_ends_a_subscription(talk):
    talk.connect()
    feed = talk.live()
    talk.hear("unsubscribed", channel=ROOM, reason="moved out")
    assert feed.readers[0].inbox.error.code == "unsubscribed"
    assert "moved out" in feed.readers[0].inbox.error.message


def test_another_user_voids_positions_and_publishes(talk):
    talk.connect(user="ada")
    feed = talk.live(5)
    number = talk.publish()
    talk.cut()
    talk.connect(user="bob")
    assert talk.results[number].code == "aborted"
    talk.stand(5, recovered=True)
    assert feed.readers[0].inbox.of(Lost) == [Lost(ROOM, "the user has changed", Position("e", 5))]


def test_leaving_unsubscribes(talk):
    talk.connect()
    feed = talk.live()
    talk.close(feed)
    assert talk.line.last("unsubscribe")["channel"] == ROOM
    talk.close(feed)
    assert talk.line.kinds().count("unsubscribe") == 1


# ------------------------------------------------------------------------------------------------ several readers


def pong(talk):
    for frame in [frame for frame in talk.line.sent if frame["type"] == "ping"]:
        talk.hear("pong", id=frame["id"])


def seen(reader):
    return [message.offset for message in reader.inbox.of(Message)]


def test_two_readers_share_a_subscription_and_each_gets_all(talk):
    talk.connect()
    first = talk.live().readers[0]
    second = talk.read()
    assert not second.inbox.stands
    pong(talk)
    assert second.inbox.stands
    talk.message(6)
    assert seen(first) == seen(second) == [6]
    assert talk.line.kinds().count("subscribe") == 1
    one, other = (reader.inbox.of(Message)[0] for reader in (first, second))
    assert one == other
    assert one is not other


def test_the_last_to_leave_unsubscribes(talk):
    talk.connect()
    feed = talk.live()
    first, second = feed.readers[0], talk.read()
    pong(talk)
    talk.session.close(feed, first)
    assert "unsubscribe" not in talk.line.kinds()
    talk.message(6)
    assert (seen(first), seen(second)) == ([], [6])
    talk.session.close(feed, second)
    assert talk.line.kinds().count("unsubscribe") == 1


def test_one_who_comes_later_begins_with_what_comes(talk):
    talk.connect()
    first = talk.open(last=2).readers[0]
    second = talk.read()
    talk.stand(3)
    talk.message(4)
    talk.message(5)
    pong(talk)
    talk.message(6)
    assert (seen(first), seen(second)) == ([4, 5, 6], [6])
    assert [item for item in second.inbox.items if not isinstance(item[1], Message)] == [
        (None, State(ROOM, "joining")),
        (None, State(ROOM, "live")),
        (Position("e", 5), None),
    ]


def test_one_who_is_far_behind_is_fetched_as_much_as_he_takes_and_then_follows(talk):
    talk.connect()
    first = talk.live(5).readers[0]
    second = talk.read(since=Position("e", 1), page=2)
    second.inbox.room = False
    page(talk, 2, 3, top=5, more=True)
    talk.message(6)
    talk.hear("typing", channel=ROOM, user="bob")
    assert talk.line.kinds().count("history") == 1
    assert second.inbox.of(Typing)
    second.inbox.then()
    talk.message(7)
    page(talk, 4, 5, top=7, more=True)
    second.inbox.then()
    talk.message(8)
    page(talk, 6, 7, top=8, more=True)
    talk.message(9)
    assert (seen(first), seen(second)) == ([6, 7, 8, 9], [2, 3, 4, 5, 6, 7, 8, 9])


def page(talk, *stored, top, more):
    question = talk.line.last("history")
    assert question["limit"] == len(stored)
    messages = [{"data": n, "offset": n, "ts": 1} for n in stored]
    talk.hear("ack", id=question["id"], messages=messages, epoch="e", offset=top, more=more)


def test_one_who_left_while_older_messages_are_fetched_asks_for_no_more(talk):
    talk.connect()
    feed = talk.live(5)
    second = talk.read(since=Position("e", 1), page=2)
    second.inbox.room = False
    page(talk, 2, 3, top=5, more=True)
    talk.session.close(feed, second)
    second.inbox.then()
    assert talk.line.kinds().count("history") == 1


@pytest.mark.parametrize("wish", [{"since": Position("e", 3)}, {"last": 2}])
def test_one_who_comes_later_gets_older_messages_before_newer_ones(talk, wish):
    talk.connect()
    first = talk.live(5).readers[0]
    second = talk.read(**wish)
    question = talk.line.last("history")
    talk.message(6)
    stored = [{"data": n, "offset": n, "ts": 1} for n in (4, 5, 6)]
    stored = stored if "since" in wish else [*reversed(stored)][:2]
    talk.hear("ack", id=question["id"], messages=stored, epoch="e", offset=6, more=False)
    assert seen(first) == [6]
    assert seen(second) == ([4, 5, 6] if "since" in wish else [5, 6])


def test_one_who_has_seen_more_gets_nothing_again(talk):
    talk.connect()
    talk.live(5)
    second = talk.read(since=Position("e", 7))
    assert second.inbox.stands
    for offset in (6, 7, 8, 9):
        talk.message(offset)
    assert seen(second) == [8, 9]


def test_what_was_lost_of_another_epoch_is_told_to_its_reader_alone(talk):
    talk.connect()
    first = talk.live(5).readers[0]
    second = talk.read(since=Position("d", 7))
    talk.message(6)
    assert (seen(first), seen(second)) == ([6], [6])
    assert (len(first.inbox.of(Lost)), len(second.inbox.of(Lost))) == (0, 1)


def test_one_who_comes_while_the_line_is_cut_begins_when_it_stands_again(talk):
    talk.connect()
    first = talk.live(5).readers[0]
    talk.cut()
    second = talk.read()
    third = talk.read(since=Position("e", 4))
    talk.connect()
    talk.stand(5, recovered=True)
    talk.message(6)
    question = talk.line.last("history")
    stored = [{"data": 5, "offset": 5, "ts": 1}]
    talk.hear("ack", id=question["id"], messages=stored, epoch="e", offset=6, more=True)
    pong(talk)
    talk.message(7)
    assert (seen(first), seen(second), seen(third)) == ([6, 7], [7], [5, 6, 7])
    assert [r.inbox.stands for r in (first, second, third)] == [True] * 3


def test_a_pong_before_the_channel_stands_again_lets_nobody_in(talk):
    talk.connect()
    talk.live(5)
    second = talk.read()
    talk.cut()
    talk.connect()
    pong(talk)
    assert not second.inbox.stands
    talk.stand(5, recovered=True)
    assert not second.inbox.stands
    pong(talk)
    assert second.inbox.stands


def test_one_who_left_before_he_was_let_in_gets_nothing(talk):
    talk.connect()
    feed = talk.live(5)
    for wish in ({}, {"since": Position("e", 3)}):
        reader = talk.read(**wish)
        talk.session.close(feed, reader)
    pong(talk)
    number = talk.line.last("history")["id"]
    talk.hear("ack", id=number, messages=[], epoch="e", offset=5, more=False)
    assert not reader.inbox.of(Message)
    assert len(feed.readers) == 1


def test_a_refusal_is_told_to_all_and_the_next_one_asks_anew(talk):
    talk.connect()
    feed = talk.open()
    second = talk.read()
    number = talk.line.last("subscribe")["id"]
    talk.hear("error", id=number, code="forbidden", message="no", temporary=False)
    assert {r.inbox.error.code for r in feed.readers} == {"forbidden"}
    again = talk.live(5)
    talk.close(feed)
    talk.message(6)
    assert offsets(again) == [6]
    assert second.inbox.error is not None
    assert "unsubscribe" not in talk.line.kinds()


def test_two_who_begin_at_once_are_both_in_a_channel_of_the_server(talk):
    first = talk.open("user:ada", last=1).readers[0]
    second = talk.read("user:ada")
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 2}})
    pong(talk)
    talk.message(3, channel="user:ada")
    stored = [{"data": n, "offset": n, "ts": 1} for n in (3, 2)]
    number = talk.line.last("history")["id"]
    talk.hear("ack", id=number, messages=stored, epoch="e", offset=3, more=True)
    assert (seen(first), seen(second)) == ([2, 3], [3])


def test_what_was_missed_before_a_channel_of_the_server_stood_moves_no_position_past_it(talk):
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 3}})
    feed = talk.open("user:ada", since=Position("e", 1))
    assert feed.readers[0].inbox.position is None
    stored = [{"data": n, "offset": n, "ts": 1} for n in (2, 3)]
    number = talk.line.last("history")["id"]
    talk.hear("ack", id=number, messages=stored, epoch="e", offset=3, more=False)
    found = [position.offset for position, _ in feed.readers[0].inbox.items if position]
    assert found == sorted(found)


# ------------------------------------------------------------------------------------------------ the server's own


def test_a_channel_of_the_server_goes_on_from_connected(talk):
    feed = talk.open("user:ada")
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 2}})
    number = talk.line.last("subscribe")["id"]
    talk.hear("error", id=number, code="already_subscribed", message="", temporary=False)
    assert feed.state == "live"
    talk.message(3, channel="user:ada")
    talk.cut()
    frames = talk.session.flight(Wire(), "t")
    assert frames[0]["since"] == {"user:ada": {"epoch": "e", "offset": 3}}
    assert len(frames) == 1


def test_its_newest_messages_are_fetched_and_come_before_newer_ones(talk):
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 4}})
    feed = talk.open("user:ada", last=2)
    talk.message(5, channel="user:ada")
    assert offsets(feed) == []
    question = talk.line.last("history")
    assert (question["limit"], question["reverse"]) == (2, True)
    stored = [{"data": n, "offset": n, "ts": 1} for n in (5, 4, 3)]
    talk.hear("ack", id=question["id"], messages=stored, epoch="e", offset=5, more=False)
    assert offsets(feed) == [3, 4, 5]


def test_behind_a_position_page_for_page(talk):
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 4}})
    feed = talk.open("user:ada", since=Position("e", 1))
    for offset in (2, 3, 4):
        question = talk.line.last("history")
        assert question["since"]["offset"] == offset - 1
        page = [{"data": offset, "offset": offset, "ts": 1}]
        talk.hear("ack", id=question["id"], messages=page, epoch="e", offset=4, more=offset < 4)
    talk.message(5, channel="user:ada")
    assert offsets(feed) == [2, 3, 4, 5]


@pytest.mark.parametrize("answer", ["refused", "another epoch"])
def test_what_cannot_be_fetched_is_lost(talk, answer):
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 4}})
    feed = talk.open("user:ada", since=Position("e", 1))
    number = talk.line.last("history")["id"]
    if answer == "refused":
        talk.hear("error", id=number, code="forbidden", message="no", temporary=False)
    else:
        talk.hear("ack", id=number, messages=[], epoch="f", offset=1, more=False)
    assert len(feed.readers[0].inbox.of(Lost)) == 1


def test_a_position_of_another_epoch_is_lost_at_once(talk):
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 4}})
    feed = talk.open("user:ada", since=Position("d", 1))
    assert len(feed.readers[0].inbox.of(Lost)) == 1


def test_leaving_a_channel_of_the_server_sends_nothing_and_keeps_its_place(talk):
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 4}})
    talk.close(talk.open("user:ada"))
    talk.message(5, channel="user:ada")
    feed = talk.open("user:ada")
    assert feed.readers[0].inbox.position == Position("e", 5)
    assert talk.line.kinds() == ["auth"]


def test_a_channel_that_the_server_makes_no_more_is_subscribed(talk):
    talk.connect(channels={"user:ada": {"epoch": "e", "offset": 4}})
    talk.open("user:ada")
    talk.cut()
    talk.connect()
    assert talk.line.last("subscribe")["channel"] == "user:ada"


# ------------------------------------------------------------------------------------------------ publishing


def test_a_publish_waits_for_the_connection_and_for_the_subscription(talk):
    feed = talk.open()
    talk.publish()
    talk.connect()
    talk.session.due(talk.now)
    assert "publish" not in talk.line.kinds()
    talk.stand()
    talk.session.due(talk.now)
    assert talk.line.kinds()[-1] == "publish"
    assert feed.state == "live"


def test_a_publish_that_was_under_way_is_sent_again_with_its_key(talk):
    talk.connect()
    number = talk.publish()
    before = talk.line.last("publish")
    talk.cut()
    talk.connect()
    talk.session.due(talk.now)
    assert talk.line.last("publish") == before
    talk.hear("ack", id=number, epoch="e", offset=3, duplicate=True)
    assert talk.results[number] == Published("e", 3, duplicate=True)


def test_without_echo_the_ack_is_the_message(talk):
    talk.connect()
    feed = talk.live(5)
    number = talk.publish(echo=False)
    talk.hear("ack", id=number, epoch="e", offset=6)
    talk.message(7)
    assert offsets(feed) == [7]
    assert not feed.readers[0].inbox.of(Lost)


def test_without_echo_the_message_itself_is_the_answer_after_a_cut(talk):
    talk.connect()
    feed = talk.live(5)
    number = talk.publish(echo=False)
    talk.cut()
    talk.connect()
    talk.stand(5, recovered=True)
    talk.hear("message", channel=ROOM, data=1, offset=6, ts=1, key=f"k{number}", from_="eve")
    assert number not in talk.results
    talk.hear("message", channel=ROOM, data=1, offset=7, ts=1, key=f"k{number}", from_="ada")
    assert talk.results[number] == Published("e", 7, channel=ROOM)
    assert offsets(feed) == [6]


@pytest.mark.parametrize("limits", [{"commands": None, "burst": None}, {}])
def test_a_server_without_limits_is_not_paced(talk, limits):
    talk.connect(limits=limits)
    for _ in range(200):
        talk.publish("room:" + str(_))
    assert talk.line.kinds().count("publish") == 200


def test_the_limits_of_the_server_pace(talk):
    talk.connect(limits={"commands": 50, "burst": 40})
    for number in range(50):
        talk.publish(f"room:{number}")
    assert talk.line.kinds().count("publish") == 29  # three quarters of 40, less auth
    assert talk.session.next(talk.now) == pytest.approx(1 / 45)


# ------------------------------------------------------------------------------------------------ asking


def test_a_question_is_asked_again_on_the_next_connection(talk):
    answers = []
    talk.session.ask({"type": "presence", "channel": ROOM}, answers.append)
    talk.connect()
    talk.cut()
    talk.connect()
    question = talk.line.last("presence")
    talk.hear("ack", id=question["id"], count=1)
    assert [answer["count"] for answer in answers] == [1]


def test_a_question_that_nobody_waits_for_is_not_asked(talk):
    number = talk.session.ask({"type": "presence", "channel": ROOM}, lambda _: None)
    assert talk.session.is_awaited
    talk.session.forget(number)
    talk.connect()
    assert talk.line.kinds() == ["auth"]
    assert not talk.session.is_awaited


def test_a_refused_question_is_told(talk):
    answers = []
    talk.connect()
    number = talk.session.ask({"type": "presence", "channel": ROOM}, answers.append)
    talk.hear("error", id=number, code="forbidden", message="no", temporary=False)
    assert answers[0].code == "forbidden"


def test_a_refused_renewal_is_the_owners(talk):
    talk.connect()
    talk.session.renew(talk.line, "t2")
    auth = talk.line.last("auth")
    assert auth["token"] == "t2"
    talk.hear("error", id=auth["id"], code="forbidden", message="another", temporary=False)
    assert talk.owner.told[-1] == ("refused", "forbidden")


def test_the_end_tells_everybody(talk):
    answers = []
    talk.connect()
    feed = talk.live()
    number = talk.publish()
    talk.session.ask({"type": "ping"}, answers.append)
    talk.session.fail(OpenlineError("over", code="closed"))
    assert {feed.readers[0].inbox.error.code, talk.results[number].code, answers[0].code} == {
        "closed"
    }
    assert not talk.session.is_awaited


steps = st.lists(
    st.one_of(
        st.sampled_from(["cut", "connect", "recover", "lose", "reset", "due", "read", "pong"]),
        st.tuples(st.just("message"), st.integers(1, 20), st.integers(0, 3)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps)
def test_whatever_comes_no_offset_of_an_epoch_is_delivered_twice_or_out_of_order(  # noqa: C901, PLR0912 - a case a step
    given_steps,
):
    talk = Talk()
    talk.connect()
    feed = talk.live(0)
    epoch = 0
    for step in given_steps:
        if step == "cut":
            talk.cut()
        elif step == "connect":
            talk.cut()
            talk.connect()
        elif step in ("recover", "lose") and feed.joining is not None:
            if step == "lose":
                epoch += 1
                talk.stand(3, f"e{epoch}", recovered=False)
            else:
                since = talk.line.last("subscribe").get("since", {"epoch": "e", "offset": 0})
                talk.stand(since["offset"], since["epoch"], recovered=True)
        elif step == "reset" and feed.line is talk.line:
            epoch += 1
            position = {"epoch": f"e{epoch}", "offset": 2, "began": 2}
            talk.hear("reset", channel=ROOM, **position, reason="", within=1)
        elif step == "read":
            talk.read(since=feed.place.position if len(feed.readers) % 2 else None)
        elif step == "pong":
            pong(talk)
        elif step == "due":
            talk.now += 1
            talk.session.due(talk.now)
        elif isinstance(step, tuple) and feed.line is talk.line:
            talk.message(step[1], skipped=step[2])
    for reader in feed.readers:
        last = {}
        for position, event in reader.inbox.items:
            if isinstance(event, Message):
                assert event.offset > last.get(position.epoch, -1)
                last[position.epoch] = event.offset
