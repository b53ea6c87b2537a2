"""What all sessions share: opening, the outbox, the heartbeat, the token's end, permissions, and the end."""

from __future__ import annotations

import pytest

from services.gateway.fanout.subscriber import Subscription
from services.gateway.fanout.wire_format import JSON
from services.gateway.session.native import NativeSession
from services.gateway.session.session import Session, end_slow
from services.gateway.websocket import frames as framing
from services.kernel.domain.capabilities import parse as capabilities
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from tests.support.bare_session import Bare, fresh, kinds, opened
from tests.support.gateway_host import TABLES, ManualHost, RecordingConnection, brief
from tests.support.refusals import refused


@pytest.fixture
def host():
    return ManualHost()


# Opening


def test_a_session_is_greeted_when_it_has_joined_its_channels(host):
    session = fresh(host)
    session.start(Claims(sub="bob"))
    assert session.connection.sent == []
    host.run()
    (event,) = session.connection.events()
    assert sorted(event["channels"]) == ["public:all", "user:bob"]
    assert session.unhindered


def test_a_token_without_a_personal_channel_is_not_subscribed_to_it(host):
    session = fresh(host)
    session.start(Claims(sub="bob", channels=capabilities({}), personal=False))
    host.run()
    (event,) = session.connection.events()
    assert sorted(event["channels"]) == ["public:all"]


def test_a_renewal_without_a_personal_channel_ends_it(host):
    session = opened(host)
    session.renew(Claims(sub="bob", channels=capabilities({}), personal=False))
    assert sorted(session.subscriptions) == ["public:all"]


def test_where_the_server_subscribes_nobody_it_is_greeted_at_once():
    host = ManualHost(tables={**TABLES, "subscribe_on_connect": []})
    session = fresh(host)
    session.start(None)
    assert kinds(session) == ["connected"]


@pytest.mark.parametrize(("since", "returns"), [({}, 0), ({"user:bob": Position("e", 1)}, 1)])
def test_who_opens_with_a_position_is_counted_as_a_return(host, since, returns):
    session = fresh(host)
    session.start(Claims(sub="bob"), since)
    assert host.metrics.reconnects.labels("websocket")._value.get() == returns


@pytest.mark.parametrize(
    ("code", "close"), [(Code.RATE_LIMITED, 4104), (Code.LIMIT_EXCEEDED, 4006)]
)
def test_one_connection_too_many_stays_away_only_if_that_lasts(host, code, close):
    host.refusal = OpenlineError(code, "a user has at most 100 connections")
    session = fresh(host)
    session.start(Claims(sub="bob"))
    assert (session.connection.code, session.connection.reason) == (close, host.refusal.message)
    assert session in host.ended


def test_who_cannot_join_its_channels_is_told_to_come_again(host):
    host.broker.down = True
    session = fresh(host)
    session.start(Claims(sub="bob"))
    host.run()
    host.advance(6)
    assert session.connection.code == 4104


def test_an_open_session_outlives_a_channel_that_cannot_be_had(host):
    session = opened(host)
    host.broker.down = True
    session.subscribe_by_server("chat:a")
    host.advance(6)
    assert not session.is_closed
    assert "chat:a" not in session.subscriptions


def test_who_has_left_while_opening_joins_nothing(host):
    session = fresh(host)
    calls = []
    original = host.subscribe

    def subscribe(subscription, **options):
        calls.append(subscription.channel)
        original(subscription, **options)
        session.closed(1006, "", False)

    host.subscribe = subscribe
    session.start(Claims(sub="bob"))
    host.run()
    assert calls == ["user:bob"]
    assert session.connection.events() == []


def test_a_channel_that_the_server_ends_while_opening_is_not_waited_for(host):
    host.answering.open = False
    session = fresh(host)
    session.start(Claims(sub="bob"))
    host.run()
    session.unsubscribe_by_server("public:all", "enough")
    session.unsubscribe_by_server("user:bob", "enough")
    events = session.connection.events()
    assert [event["type"] for event in events] == ["connected", "unsubscribed", "unsubscribed"]
    assert events[0]["channels"] == []


def test_what_arrives_while_opening_comes_behind_connected(host):
    host.publish_http("user:bob", 1)
    session = fresh(host)
    session.send(JSON.event("early", {}))
    session.start(Claims(sub="bob"))
    session.direct(b"1", 1)
    host.run()
    assert kinds(session) == ["connected", "early"]


# What the audience tells


def test_a_reset_says_where_it_goes_on(host):
    session = opened(host)
    host.broker.fence()
    host.beat()
    host.advance(1)
    events = session.connection.events()
    assert sorted(event["channel"] for event in events) == ["public:all", "user:bob"]
    assert events[0].keys() == {"type", "channel", "epoch", "offset", "began", "reason", "within"}


def test_dropping_twice_is_harmless(host):
    session = opened(host)
    subscription = session.subscriptions["public:all"]
    session.drop(subscription)
    session.drop(subscription)
    assert session.subscriptions.keys() == {"user:bob"}


# What it may do


def test_rates_of_connection_and_user(host):
    bob, nobody = opened(host), opened(host, None)
    assert bob.charge(10) is None
    host.wait = 3.0
    error = bob.charge(10)
    assert (error.code, error.retry_after) == (Code.RATE_LIMITED, 3.0)
    assert error.message == "too many commands; wait 3.00 s and send at most 50 a second"
    assert nobody.charge(10) is None
    assert opened(ManualHost(limits=Limits(rates=False))).charge(10) is None


def test_bytes_are_counted_once_it_is_known_whose_they_are(host):
    session = opened(host)
    assert (session.charge(700), host.bytes_sent) == (None, 700)
    host.wait_for_bytes = 2.0
    error = session.charge(10)
    assert (error.code, error.retry_after) == (Code.RATE_LIMITED, 2.0)
    assert error.message == "too many bytes; wait 2.00 s and send at most 131072 a second"
    session.opened = False
    assert session.charge(10) is None


def test_who_is_refused_without_end_is_closed():
    host = ManualHost(limits=Limits(refusal_rate=1, refusal_burst=3))
    session = opened(host)
    for _ in range(4):
        session.refuse(OpenlineError(Code.BAD_REQUEST, "no"))
    assert kinds(session) == ["error"] * 3
    assert session.connection.code == 4000


def test_only_an_open_session_is_subscribed_by_the_server(host):
    session = fresh(host)
    session.subscribe_by_server("chat:a")
    assert session.subscriptions == {}
    session = opened(host)
    session.close(4004)
    session.subscribe_by_server("chat:a")
    assert session.subscriptions == {}
    session.unsubscribe_by_server("chat:a", "")


# Time


def test_silence_is_asked_about_and_then_ends_the_connection(host):
    session = opened(host)
    host.tick(session)
    assert session.connection.pings == 1
    host.advance(9)
    session.connection.last_received = host.now()
    host.tick(session)
    assert not session.is_closed
    host.tick(session)
    assert session.connection.pings == 2
    host.tick(session)
    assert session.connection.code == 4102
    silent = host.limits.ping_seconds + host.limits.pong_seconds
    assert session.connection.reason == f"no message or pong came for {silent:g} s"
    assert session.tick(host.now()) is None


def test_who_speaks_is_not_asked_but_the_line_is_kept_awake(host):
    session = opened(host, kind=NativeSession)
    for _ in range(5):
        host.advance(10)
        session.connection.last_received = host.now()
        assert session.tick(host.now()) == host.now() + 25
    assert session.connection.sent[-5:] == [framing.pong_frame(b"")] * 5
    assert session.connection.events() == []
    assert session.connection.pings == 0


def test_a_client_that_was_silent_is_asked_at_once_and_ended_if_it_stays_so(host):
    session = opened(host)
    began = host.now()
    assert not session.probe(began), "something came just then"
    assert session.connection.pings == 0
    assert session.probe(began + 1)
    assert session.connection.pings == 1
    host.clock += 3
    session.connection.last_received = began + 1
    session.end_silent(began + 1)
    assert not session.is_closed, "it answered"
    session.end_silent(began + 2)
    assert (session.connection.code, session.connection.reason) == (
        4102,
        "no message or pong came for 2 s",
    )
    assert not session.probe(began + 9), "it has ended"


def test_a_session_is_quiet_when_it_owes_nothing_and_nothing_came_lately(host):
    session = opened(host)
    now = host.clock
    assert (session.is_quiet(now), session.is_quiet(now + 1)) == (False, True)
    session.is_stalled = True
    assert not session.is_quiet(now + 1)
    session.is_stalled = False
    session.close(4004)
    assert not session.is_quiet(now + 1)
    assert not fresh(host).is_quiet(now + 1)


def test_an_early_look_at_a_silent_client_changes_nothing(host):
    session = opened(host)
    host.tick(session)
    assert session.tick(host.now()) == host.now() + 10
    assert session.connection.pings == 1


def test_who_never_says_who_it_is_is_closed(host):
    session = fresh(host)
    session.schedule()
    assert host.wakes[session] == host.now() + 10
    host.tick(session)
    assert session.connection.code == 4001


@pytest.mark.parametrize(("life", "ahead"), [(3600, 30), (60, 20), (None, 30)])
def test_expiry_is_told_ahead_and_the_end_follows(host, life, ahead):
    exp = host.wall() + (life or 3600)
    session = opened(host, exp=exp, iat=None if life is None else host.wall())
    told = None
    while not session.is_closed:
        session.connection.last_received = host.now() + 1
        host.tick(session)
        if told is None and "expiring" in kinds(session):
            told = host.wall()
    assert told == pytest.approx(exp - ahead, abs=0.1)
    assert host.wall() == pytest.approx(exp + 5, abs=0.1)
    assert session.connection.code == 4200


def test_a_new_token_puts_the_end_off(host):
    session = opened(host, exp=host.wall() + 40)
    host.advance(20)
    session.connection.last_received = host.now()
    session.tick(host.now())
    assert kinds(session) == ["expiring"]
    session.renew(Claims(sub="bob", exp=host.wall() + 1000))
    host.advance(30)
    session.connection.last_received = host.now()
    session.tick(host.now())
    assert not session.is_closed
    assert kinds(session) == []


# The end


def test_closing_ends_everything_once(host):
    session = opened(host)
    session.close(4004, "go")
    session.close(4005)
    session.closed(4004, "go", True)
    assert (session.connection.code, host.ended, session.subscriptions) == (4004, [session], {})
    assert host.sessions == {}
    assert host.hub._channels["public:all"].listeners == set()


@pytest.mark.parametrize(
    ("end", "lingers"),
    [
        (lambda session: session.close(4004), False),
        (lambda session: session.close(4100), True),
        (lambda session: session.closed(1000, "", True), False),
        (lambda session: session.closed(1001, "", True), True),
        (lambda session: session.closed(1006, "", False), True),
    ],
)
def test_only_an_unclean_end_lingers_in_presence(host, end, lingers):
    left = []

    async def leave(subscription, *, linger):
        left.append((subscription.channel, linger))

    host.leave = leave
    session = opened(host)
    session.subscribe_by_server("room:a")
    host.run()
    end(session)
    host.run()
    assert left == [("room:a", lingers)]


def test_draining(host):
    session = opened(host)
    session.reconnect(session.wire_format.event("reconnect", {"within": 3}))
    assert session.connection.events() == [{"type": "reconnect", "within": 3}]
    session.shutdown()
    assert session.connection.code == 4100


def test_binary_messages_are_not_for_everybody(host):
    session = opened(host)
    session.received_pong()
    session.received_binary(b"")
    assert session.connection.code == 1003


def test_what_each_kind_of_session_must_say_itself(host):
    session = Session(host, RecordingConnection(host), JSON)
    with pytest.raises(NotImplementedError):
        session.greet({})
    with pytest.raises(NotImplementedError):
        session.received_text(b"")
    assert not session.awaits("token")
    session.echoed(None)


def test_stalling_takes_it_off_the_fast_list_of_its_channels(host):
    session = opened(host)
    session.subscribe_by_server("chat:a")
    host.run()
    audience = session.subscriptions["chat:a"].audience
    host.publish_http("chat:a", 1)
    session.connection.stall()
    assert audience._groups[session.wire_format.name].stale
    host.publish_http("chat:a", 2)
    host.advance(1)
    session.connection.drain()
    assert audience._groups[session.wire_format.name].stale
    assert brief(session.connection.events()) == [1, 2]


def test_what_a_subscription_missed_comes_behind_its_answer(host):
    host.publish_http("chat:a", 1)
    session = opened(host)
    session.subscribe_by_server("chat:a")
    host.run()
    epoch = host.position("chat:a").epoch
    session.unsubscribe_by_server("chat:a", "enough")
    session.connection.events()
    subscription = session.subscriptions["chat:a"] = Subscription(session, "chat:a")
    session.join(subscription, since=Position(epoch, 0), last=0)
    host.run()
    assert brief(session.connection.events()) == [1]
    assert host.metrics.recoveries.labels("chat", "true")._value.get() == 1


def recovering(host, channel, *, reads):
    """A session that was sent the whole history of a channel."""
    session = opened(host)
    session.connection.stuck = not reads
    subscription = session.subscriptions[channel] = Subscription(session, channel)
    session.join(subscription, since=None, last=9)
    host.run()
    return session


@pytest.fixture
def crowded():
    """A host that has room for one large replay; the histories of `chat:a` and `chat:b` are such."""
    host = ManualHost(limits=Limits(replay_bytes=450_000, outbox_bytes=100_000))
    for channel in ("chat:a", "chat:b", "user:bob"):
        for _ in range(6):  # more than the ring keeps
            host.publish_http(channel, "x" * 60_000)
    host.publish_http("chat:small", "x" * 10_000)
    return host


def test_large_replays_that_are_not_read_are_bounded_over_all_connections(crowded):
    for _ in range(2):
        recovering(crowded, "chat:a", reads=True).close(1000)  # they never count together
    forget_channels(crowded)
    first = recovering(crowded, "chat:a", reads=False)
    second = recovering(crowded, "chat:b", reads=False)
    assert (joined(first), joined(second)) == (["chat:a"], [])
    assert joined(recovering(crowded, "chat:small", reads=False)) == ["chat:small"]
    first.connection.drain()
    assert len(first.connection.events()) == 6
    forget_channels(crowded)
    third = recovering(crowded, "chat:b", reads=False)
    assert joined(third) == ["chat:b"]
    third.closed(1006, "", clean=False)
    assert crowded.replay_budget.total < 30_000


def forget_channels(host):
    """Let the hub forget what it kept for those who come back soon."""
    host.hub.forget_idle()


def joined(session):
    """The channels that a session has joined."""
    return [s.channel for s in session.subscriptions.values() if s.joined and "chat" in s.channel]


def test_who_cannot_be_sent_what_it_missed_is_not_greeted(crowded):
    watcher = recovering(crowded, "chat:a", reads=False)
    epoch = crowded.position("user:bob").epoch
    watcher.drop(watcher.subscriptions["user:bob"])
    forget_channels(crowded)
    session = fresh(crowded)
    session.start(Claims(sub="bob"), {"user:bob": Position(epoch, 0)})
    crowded.run()
    assert (session.connection.code, session.connection.events()) == (4104, [])


def test_who_never_reads_a_large_replay_makes_room_for_others(crowded):
    first = recovering(crowded, "chat:a", reads=False)
    crowded.clock += 60
    second = recovering(crowded, "chat:b", reads=False)
    assert (first.connection.code, joined(second)) == (4101, ["chat:b"])


class Dressed(Bare):
    """One whose messages differ from those of its neighbours."""

    personalizes = True

    def personalize(self, subscription, publications, frame):
        del frame
        return b"".join(self.wire_format.message(subscription.channel, p) for p in publications)


def test_what_was_made_for_one_client_alone_is_bounded_over_all_connections(crowded):
    epoch = recovering(crowded, "chat:a", reads=True).node.position("user:bob").epoch

    def come():
        session = fresh(crowded, Dressed)
        session.connection.stuck = True
        session.start(Claims(sub="bob"), {"user:bob": Position(epoch, 0)})
        crowded.run()
        return session

    first, second = come(), come()
    assert (first.connection.code, second.connection.code) == (None, 4104)
    first.connection.drain()
    assert crowded.replay_budget.total == 0
    assert come().connection.code is None


def test_what_is_made_for_one_client_alone_needs_room_where_it_is_large():
    host = ManualHost(limits=Limits(replay_bytes=1))
    opened(host)  # so that the ring has all of it
    epoch = host.position("user:bob").epoch
    host.replay_budget.hold_bytes("another", 10)
    codes = []
    for size in (10, 70_000):
        host.publish_http("user:bob", "x" * size)
        session = fresh(host, Dressed)
        session.start(Claims(sub="bob"), {"user:bob": Position(epoch, 0)})
        host.run()
        codes.append(session.connection.code)
    assert codes == [None, 4104]


def test_who_is_still_collecting_can_be_ended_too(crowded):
    session = opened(crowded)
    end_slow(Subscription(session, "chat:a"))
    assert session.connection.code == 4101


def test_a_new_token_ends_what_it_no_longer_allows(host):
    session = opened(host)
    session.subscriptions["chat:b"] = Subscription(session, "chat:b")
    session.renew(Claims(sub="bob", channels=capabilities({"room:*": ["subscribe"]})))
    assert session.connection.events() == [
        {"type": "unsubscribed", "channel": "chat:b", "reason": "permission"}
    ]
    with refused(Code.FORBIDDEN, "another user"):
        session.renew(Claims(sub="amy"))


# Joining: presence first, then the hub


def presence(host, session, channel="room:a"):
    subscription = Subscription(session, channel)
    session.subscriptions[channel] = subscription
    session.join(subscription, since=None, last=0)
    return subscription


def there(host, channel="room:a"):
    return host.broker._of(channel).all[channel].members.keys()


def test_presence_is_entered_before_the_channel_is_joined(host):
    session = opened(host)
    host.entering.open = False
    subscription = presence(host, session)
    host.run()
    assert not subscription.joined
    host.entering.open = True
    host.run()
    assert subscription.joined
    assert (subscription.count.count, list(there(host))) == (1, [session.id])


def test_who_is_dropped_before_it_entered_never_enters(host):
    session = opened(host)
    subscription = presence(host, session)
    session.drop(subscription)
    host.run()
    assert not there(host)
    assert not subscription.present


def test_who_is_dropped_while_entering_leaves_and_joins_nothing(host):
    session = opened(host)
    host.entering.open = False
    subscription = presence(host, session)
    host.run()
    session.drop(subscription)
    assert subscription.present
    host.entering.open = True
    host.run()
    assert not subscription.joined


def test_who_comes_back_at_once_stays_present(host):
    session = opened(host)
    first = presence(host, session)
    host.run()
    session.drop(first)
    second = presence(host, session)
    host.run()
    assert second.joined
    assert list(there(host)) == [session.id]


def test_a_failure_to_enter_refuses_who_still_wants_to(host):
    session = opened(host)
    stays, gone = presence(host, session), presence(host, session, "room:b")
    host.entering.open = False
    host.run()
    session.drop(gone)
    host.broker.down = True
    host.entering.open = True
    host.run()
    assert session.subscriptions.keys() == {"user:bob", "public:all"}
    assert not stays.joined


# The client's return


def test_a_connection_belongs_to_its_user_and_ends_when_that_one_is_back(host):
    session, nobody = opened(host), opened(host, None)
    assert session.belongs_to("bob", "")
    assert not session.belongs_to("eve", "")
    assert not session.belongs_to(None, "client")
    assert not nobody.belongs_to("bob", "")
    assert not nobody.belongs_to(None, "")
    assert not nobody.belongs_to(None, "client")
    session.end_former()
    session.end_former()
    assert session.connection.code == 4004
