"""Any sequence of frames and events: nothing is raised, answers come in order, outboxes stay bounded, nothing is doubled.

The sessions are real ones on a real hub and the store's model, moved by a host whose clock and turns Hypothesis chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.fanout.wire_format import JSON
from services.gateway.session.echoes import Echoes
from services.gateway.session.native import NativeSession
from services.gateway.session.plain import NotifySession, RoomSession
from services.gateway.session.session import Session
from services.gateway.session.sse import StreamSession
from services.gateway.websocket.interface import MAX_BUFFERED
from services.kernel.domain.claims import Claims
from services.kernel.domain.limits import Limits
from tests.support.gateway_host import ManualHost, RecordingConnection, forget_unborn

LIMITS = Limits(outbox_bytes=70_000, channels_per_connection=4, command_burst=60)
CHANNELS = ["chat:a", "chat:b", "room:a", "live:a", "feed:a", "public:all", "user:bob"]
SIZES = [1, 10, 30_000]
QUICK = settings(
    max_examples=settings.default.max_examples * 3 // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

channels = st.sampled_from(CHANNELS)
positions = st.fixed_dictionaries(
    {"epoch": st.sampled_from(["epoch1", "epoch2", "other"]), "offset": st.integers(0, 4)}
)
commands = st.one_of(
    st.fixed_dictionaries({"type": st.just("subscribe"), "channel": channels}),
    st.fixed_dictionaries({"type": st.just("subscribe"), "channel": channels, "since": positions}),
    st.fixed_dictionaries(
        {"type": st.just("subscribe"), "channel": channels, "last": st.integers(0, 5)}
    ),
    st.fixed_dictionaries({"type": st.just("unsubscribe"), "channel": channels}),
    st.fixed_dictionaries(
        {
            "type": st.just("publish"),
            "channel": channels,
            "data": st.sampled_from(SIZES).map(lambda size: "x" * size),
            "echo": st.booleans(),
            "ephemeral": st.sampled_from([False, False, True]),
        },
        optional={"key": st.sampled_from(["k", "l"])},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["typing", "presence", "history"]), "channel": channels}
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["ping", "pong"])}),
    st.fixed_dictionaries({"type": st.just("auth"), "token": st.sampled_from(["bob", "amy", "?"])}),
)
junk = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"", b"[]", b"null", b'{"type":1}', b'{"type":"publish"}', b"[" * 5000]),
)


class World:
    """One session among others, and what may happen to it."""

    def __init__(self, make: Any) -> None:
        self.host = ManualHost(limits=LIMITS)
        self.host.tokens["bob"] = Claims(sub="bob")
        self.host.tokens["amy"] = Claims(sub="amy")
        other = NativeSession(self.host, RecordingConnection(self.host), JSON)
        other.start(Claims(sub="amy"))
        for channel in ("chat:a", "chat:b", "live:a", "feed:a"):
            other.subscribe_by_server(channel)
        self.host.run()
        self.session: Session = make(self.host, RecordingConnection(self.host))
        self.connection = self.session.connection
        self.connection.start(self.session)
        self.session.schedule()
        self.said = 0

    def step(self, kind: str, what: Any) -> None:
        if kind == "happen":
            self.happen(what)
        elif not self.connection.closing:  # as a connection: nothing comes in behind a close
            if kind == "say":
                self.said += 1
                what = msgspec.json.encode({**what, "id": self.said})
            self.session.received_text(what)

    def happen(self, name: str) -> None:
        """One thing of HAPPENINGS."""
        HAPPENINGS[name](self)
        self.check()

    def look(self) -> None:
        """The session's next tick, or half a minute."""
        if self.session in self.host.wakes:
            self.host.tick(self.session)
        else:
            self.host.advance(30)

    def beat(self) -> None:
        if not self.host.broker.down:
            self.host.beat()

    def publish(self, channel: str, size: int, times: int = 1) -> None:
        if not self.host.broker.down:
            for _ in range(times):
                self.host.publish_http(channel, "x" * size)
                self.host.advance(0.01 if times > 1 else 0)

    def stall(self) -> None:
        if not self.connection.stuck:
            self.connection.stall()

    def flood(self) -> None:
        self.stall()
        self.publish("chat:a", 50_000, 8)

    def unsubscribe(self) -> None:
        """The server ends what is under way, else chat:a."""
        waiting = [s.channel for s in self.session.subscriptions.values() if not s.joined]
        self.session.unsubscribe_by_server((waiting or ["chat:a"])[0], "enough")

    def check(self) -> None:
        allowance = max(LIMITS.outbox_bytes, self.session.allowance)
        # One write may reach over: a window's messages are joined, and recovery is one frame.
        assert self.connection.waiting <= allowance + MAX_BUFFERED + 100_000
        assert len(self.session.opening.frames if self.session.opening else b"") <= allowance

    def settle(self) -> None:
        """Everything that holds back is let go, and time passes."""
        host = self.host
        for gate in (host.storing, host.answering, host.entering):
            gate.open = True
        host.reading, host.broker.down = True, False
        self.connection.drain()
        for _ in range(3):
            host.beat()
            self.connection.last_received = host.now()
            host.advance(2)
        self.check()

    def end(self) -> None:
        self.session.closed(1006, "", False)
        self.host.run()
        assert self.session.id not in self.host.sessions
        assert self.session.subscriptions == {}
        for audience in self.host.audiences.values():
            for group in audience._groups.values():
                assert all(s.session is not self.session for s in group.subscriptions)


def native(host: ManualHost, connection: RecordingConnection) -> Session:
    session = NativeSession(host, connection, JSON)
    session.start(Claims(sub="bob"))
    session.subscribe_by_server("live:a")
    return session


def later(host: ManualHost, connection: RecordingConnection) -> Session:
    return NativeSession(host, connection, JSON)


def room(host: ManualHost, connection: RecordingConnection) -> Session:
    session = RoomSession(host, connection, channel="room:a", since=None, last=2)
    session.start(Claims(sub="bob"))
    return session


def notify(host: ManualHost, connection: RecordingConnection) -> Session:
    return NotifySession(host, connection, channel="notify:a", since=None, last=2)


class Listening(StreamSession):
    """A stream; whatever a test says to it is not said to a stream."""

    def received_text(self, text: bytes) -> None: ...


def stream(host: ManualHost, connection: RecordingConnection) -> Session:
    session = Listening(host, connection, ["chat:a", "room:a", "live:a"], {})
    session.start(Claims(sub="bob"))
    return session


def _set(path: str, value: Any) -> Callable[[World], None]:
    def happen(world: World) -> None:
        *parts, name = path.split(".")
        target: Any = world
        for part in parts:
            target = getattr(target, part)
        setattr(target, name, value)

    return happen


HAPPENINGS: dict[str, Callable[[World], object]] = {
    "run": lambda world: world.host.run(),
    "turn": lambda world: world.host.turn(),
    "second": lambda world: world.host.advance(1),
    "half a minute": World.look,
    "stall": World.stall,
    "drain": lambda world: world.connection.drain(),
    "hold store": _set("host.storing.open", False),
    "store": _set("host.storing.open", True),
    "hold bus": _set("host.reading", False),
    "bus": _set("host.reading", True),
    "hold answers": _set("host.answering.open", False),
    "answers": _set("host.answering.open", True),
    "hold presence": _set("host.entering.open", False),
    "presence": _set("host.entering.open", True),
    "down": _set("host.broker.down", True),
    "up": _set("host.broker.down", False),
    "fence": lambda world: world.host.broker.fence(),
    "flush": lambda world: world.host.broker.flush(),
    "beat": World.beat,
    "publish": lambda world: world.publish("chat:a", 1),
    "publish two": lambda world: world.publish("chat:a", 1, 2),
    "publish live": lambda world: world.publish("live:a", 1, 3),
    "publish much": lambda world: world.publish("chat:a", 50_000, 6),
    "publish much to a stalled one": World.flood,
    "server subscribes": lambda world: world.session.subscribe_by_server("chat:b"),
    "server unsubscribes": World.unsubscribe,
    "direct": lambda world: world.session.direct(b"1", 1),
}
FATAL = {"publish much", "publish much to a stalled one", "half a minute"}
says = commands.map(lambda command: ("say", command))
happenings = st.sampled_from([*HAPPENINGS, "run", "run"]).map(lambda name: ("happen", name))
calm_says = says.filter(lambda said: said[1].get("token") != "?")
calm = st.sampled_from([*sorted(HAPPENINGS.keys() - FATAL), "run", "run"])
calm_happenings = calm.map(lambda name: ("happen", name))
steps = st.lists(
    st.one_of(says, happenings, junk.map(lambda frame: ("junk", frame))), min_size=10, max_size=40
)
calm_steps = st.lists(st.one_of(calm_says, calm_happenings), min_size=20, max_size=40)
"""What seldom ends the connection: then every answer is still to come."""


@QUICK
@given(st.sampled_from([native, later, room, notify, stream]), steps)
def test_nothing_is_raised_and_nothing_is_left(make: Any, steps: list[tuple[str, Any]]) -> None:
    world = World(make)
    try:
        for kind, what in steps:
            world.step(kind, what)
        world.settle()
        world.end()
    finally:
        forget_unborn()


@QUICK
@given(calm_steps)
def test_every_command_is_answered_once_and_no_message_is_missing_or_doubled(
    steps: list[tuple[str, Any]],
) -> None:
    world = World(native)
    asked: dict[int, dict[str, Any]] = {}
    try:
        for kind, what in steps:
            world.step(kind, what)
            if kind == "say":
                asked[world.said] = what
        world.settle()
        if not world.connection.closing:
            events = world.connection.events()
            check_answers(asked, events)
            for channel in CHANNELS:
                last = check_channel(list(places(channel, asked, events)))
                if channel in world.session.subscriptions:
                    position = world.host.position(channel)
                    assert position is not None
                    assert last == position.offset
            assert not world.session._barrier
            assert world.session._waiting is None
            assert all(echo.acked for echo in (world.session._echoes or Echoes())._pending.values())
    finally:
        forget_unborn()


def check_answers(asked: dict[int, dict[str, Any]], events: list[dict[str, Any]]) -> None:
    answers = [event for event in events if event.get("id") is not None]
    silent = {name for name, command in asked.items() if command["type"] == "pong"}
    assert sorted(answer["id"] for answer in answers) == sorted(asked.keys() - silent)
    # Refusals overtake what waits for the store, acks without echo wait for their place; all others keep the order.
    ordered = [
        answer["id"]
        for answer in answers
        if answer["type"] != "error" and keeps_order(asked[answer["id"]])
    ]
    assert ordered == sorted(ordered)


def keeps_order(command: dict[str, Any]) -> bool:
    """Whether its ack cannot overtake another or be overtaken."""
    return command["type"] != "typing" and bool(command.get("echo", True))


def places(
    channel: str, asked: dict[int, dict[str, Any]], events: list[dict[str, Any]]
) -> Iterator[tuple[str, str, int]]:
    """What tells a place in the channel's order: (what, epoch, offset); a message does not name its epoch."""
    for event in events:
        command = asked.get(event.get("id") or 0, {})
        kind, mine = event["type"], event.get("channel") == channel
        if kind == "connected" and channel in event["channels"]:
            at = event["channels"][channel]
            yield "join", at["epoch"], at["offset"]
        elif kind == "message" and mine and "offset" in event:
            yield "message", "", event["offset"] - event.get("skipped", 0)
            yield "at", "", event["offset"]
        elif mine and "epoch" in event and (kind != "ack" or command["type"] == "subscribe"):
            yield "join", event["epoch"], event["offset"]
        elif is_place(command, event, channel):
            yield "echo", event["epoch"], event["offset"]


def is_place(command: dict[str, Any], event: dict[str, Any], channel: str) -> bool:
    """Whether the event is an ack that stands for a message of the channel."""
    silent = command.get("channel") == channel and not command.get("echo", True)
    return silent and event["type"] == "ack" and "offset" in event and not event["duplicate"]


def check_channel(told: list[tuple[str, str, int]]) -> int:
    """Each offset is the one after the last, or all between were acked ahead of their place. The last offset."""
    epoch, last = "", -1
    early: set[tuple[str, int]] = set()
    for what, named, offset in told:
        if what == "join":
            epoch, last = named, offset
        elif what == "at":
            last = offset
        elif what == "echo" and (named, offset) != (epoch, last + 1):
            early.add((named, offset))
        else:
            assert offset > last, told
            assert {(epoch, between) for between in range(last + 1, offset)} <= early, told
            last = offset
    while (epoch, last + 1) in early:
        last += 1
    return last
