"""A gateway without loop, sockets or clock: sessions on a real hub and the store's model, moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from services.gateway.fanout.audience import Audience
from services.gateway.fanout.lag_budget import LagBudget
from services.gateway.fanout.subscriber import Subscription
from services.gateway.hub.hub import Hub
from services.gateway.hub.port import LookCall
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.metrics import Metrics
from services.gateway.session.announcement import announcement
from services.gateway.session.returning import Returning
from services.gateway.session.session import Session, end_slow
from services.gateway.websocket import frames as framing
from services.gateway.websocket.interface import MAX_BUFFERED
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import Beat, Done, Draft, Entry, Member, Present
from services.kernel.domain import namespaces
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from services.kernel.domain.schemas import Schemas

TABLES: dict[str, Any] = {
    "subscribe_on_connect": ["user:<sub>", "public:all"],
    "namespaces": {
        "room": {
            "presence": True,
            "join_leave": True,
            "publish": "members",
            "read_presence": "members",
            "read_history": "members",
        },
        "chat": {"publish": "members", "read_history": "members"},
        "notify": {},
        "user": {"subscribe": "granted", "publish": "granted", "read_history": "granted"},
        "live": {"publish": "authenticated", "slow": "latest"},
        "feed": {"publish": "authenticated", "slow": "drop"},
        "public": {"subscribe": "anyone", "read_history": "anyone"},
    },
}
"""The shipped namespaces, and two more: `chat`, a room without presence, and `feed`, which drops."""


_unborn: set[Coroutine[Any, Any, Any]] = set()


def forget_unborn() -> None:
    """Drop what was spawned on any host and never ran; for the end of a test."""
    while _unborn:
        _unborn.pop().close()


class Gate:
    """What a task waits for until a test opens it."""

    def __init__(self, *, open: bool = True) -> None:
        self.open = open

    def __await__(self) -> Generator[Gate, None, None]:
        while not self.open:
            yield self


class ManualHost:
    """`Host` whose clock and turns are a test's. `entering` and `answering` hold presence and the store's other replies
    back while they are shut, `storing` publishes, `reading` the bus.
    """

    name = "here"
    incarnation = "incarnation"

    def __init__(
        self,
        *,
        broker: MemoryBroker | None = None,
        limits: Limits | None = None,
        tables: dict[str, Any] | None = None,
    ) -> None:
        self.clock = 1000.0
        self.broker = broker or MemoryBroker(clock=self.wall)
        self.limits = limits or Limits()
        self.replay_budget: ReplayBudget[Session | Subscription] = ReplayBudget(
            self.limits.replay_bytes, now=self.now, end=end_slow
        )
        self.lag_budget = LagBudget(self.limits.conflate_bytes)
        self.namespaces = namespaces.parse(tables or TABLES)
        self.schemas = Schemas(self.namespaces)
        self.announcement = announcement(self.name, self.limits, self.namespaces, version="1.0")
        self.metrics = Metrics(CollectorRegistry())
        self.tokens: dict[str, Claims | OpenlineError] = {}
        self.entering, self.answering, self.storing = Gate(), Gate(), Gate()
        self.reading = True
        self.sessions: dict[str, Session] = {}
        self.ended: list[Session] = []
        self.counts: dict[str, int] = {}
        self.audiences: dict[str, Audience] = {}
        self.wakes: dict[Session, float] = {}
        self.refusal: OpenlineError | None = None
        self.seeking: OpenlineError | None = None
        self.formers: list[tuple[str, str | None, str]] = []
        self.wait = 0.0
        self.wait_for_bytes = 0.0
        self.bytes_sent = 0
        self.hub = Hub(self, new_epoch=self._new_epoch, budget=self.replay_budget)
        self._epochs = 0
        self._turn: list[Callable[[], None]] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer = 0
        self._suspended: list[tuple[Gate, Coroutine[Any, Any, Any]]] = []
        self._drafts: list[tuple[Draft, Done]] = []
        self.beat()

    def _new_epoch(self) -> str:
        self._epochs += 1
        return f"epoch{self._epochs}"

    # Moving it

    def beat(self) -> None:
        """Renew the lease and tell the hub what the store said."""
        sent = self.hub.bus_position
        reply = now(self.broker.beat(0, Beat(incarnation=self.incarnation, node=b"{}")))
        self.hub.beaten(reply, sent, self.clock)
        self.run()

    def run(self) -> None:
        """Everything that can happen without the clock."""
        while self._turned() | self._stored() | self._heard() | self._looked():
            pass

    def turn(self) -> None:
        """One turn of the loop: what was asked for before it, and nothing from the store."""
        turn, self._turn = self._turn, []
        for callback in turn:
            callback()

    def advance(self, seconds: float) -> None:
        """Let time pass, doing what is due on the way."""
        end = self.clock + seconds
        while self._timers and min(self._timers)[0] <= end:
            due = min(self._timers)
            self._timers.remove(due)
            self.clock = max(self.clock, due[0])
            due[2]()
            self.run()
        self.clock = end
        self.hub.tick(self.clock)
        self.run()

    def tick(self, session: Session) -> None:
        """Advance to the time at which the session wants to be looked at, and do it."""
        self.advance(max(0.0, self.wakes.pop(session) - self.clock))
        at = session.tick(self.clock)
        if at is not None:
            self.wakes[session] = at
        self.run()

    @property
    def timers(self) -> int:
        """How many callbacks wait for the clock."""
        return len(self._timers)

    def publish_http(
        self, channel: str, data: object = "x", *, conflate_key: str | None = None, **changes: Any
    ) -> Any:
        """A publication by the back end."""
        meta = b'"ts":1'
        if conflate_key is not None:
            meta = b'"conflate_key":"%b",%b' % (conflate_key.encode(), meta)
        draft = Draft(channel=channel, data=msgspec.json.encode(data), meta=meta, **changes)
        (result,) = now(self.broker.publish([draft]))
        self.run()
        return result

    def _turned(self) -> bool:
        going = [work for gate, work in self._suspended if gate.open]
        if not self._turn and not going:
            return False
        self._suspended = [(gate, work) for gate, work in self._suspended if not gate.open]
        for work in going:
            self._step(work)
        self.turn()
        return True

    def _step(self, work: Coroutine[Any, Any, Any]) -> None:
        _unborn.discard(work)
        try:
            gate = work.send(None)
        except StopIteration:
            return
        assert isinstance(gate, Gate), gate
        self._suspended.append((gate, work))

    def _stored(self) -> bool:
        if not self.storing.open or not self._drafts:
            return False
        drafts, self._drafts = self._drafts, []
        results = now(self.broker.publish([draft for draft, _ in drafts]))
        for (_, done), result in zip(drafts, results, strict=True):
            done(result)
        return True

    def _heard(self) -> bool:
        if not self.reading or not self.hub.following or self.broker.down:
            return False
        entries = now(self.broker.read(0, self.hub.bus_position, block=0))
        self.hub.entries(self.hub.generation, entries, self.clock)
        return bool(entries)

    def _looked(self) -> bool:
        if not self.answering.open:
            return False
        effects = self.hub.effects()
        for effect in effects:
            if isinstance(effect, LookCall):
                replies = None
                if not self.broker.down:
                    replies = now(self.broker.look(0, effect.looks))
                self.hub.looked(effect, replies, self.clock)
            else:
                self.hub.reconnected(self.clock)
                self.soon(self.beat)
        return bool(effects)

    # Sink

    def audience(self, channel: str) -> Audience:
        audience = Audience(channel, self.namespaces.of(channel), self)
        self.audiences[channel] = audience
        return audience

    def control(self, entry: Entry) -> None: ...
    def canary(self, entry: Entry, now: float) -> None: ...
    def resynced(self, now: float) -> None: ...

    # Host

    def now(self) -> float:
        return self.clock

    def wall(self) -> float:
        return 1_700_000_000.0 + self.clock

    def soon(self, callback: Callable[[], None]) -> None:
        self._turn.append(callback)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timer += 1
        self._timers.append((self.clock + seconds, self._timer, callback))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        _unborn.add(work)
        self.soon(lambda: self._step(work))

    def session(self, connection: str) -> Session | None:
        return self.sessions.get(connection)

    def register(self, session: Session) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sessions[session.id] = session

    def unregister(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        self.wakes.pop(session, None)
        self.ended.append(session)

    def wake(self, session: Session, at: float) -> None:
        self.wakes[session] = at

    def regroup(self, session: Session) -> None:
        for subscription in session.subscriptions.values():
            if subscription.audience is not None:
                subscription.audience.regroup(session)

    def subscribe(self, subscription: Subscription, *, since: Position | None, last: int) -> None:
        self.hub.subscribe(
            subscription.channel, subscription, since=since, last=last, now=self.clock
        )

    def unsubscribe(self, subscription: Subscription) -> None:
        self.hub.unsubscribe(subscription.channel, subscription, self.clock)

    def counted(self, channel: str, listeners: int) -> None:
        self.counts[channel] = listeners

    def position(self, channel: str) -> Position | None:
        return self.hub.position(channel)

    def began(self, channel: str) -> int:
        return self.hub.began(channel)

    def newest(self, channel: str) -> Publication | None:
        position = self.hub.position(channel)
        kept = self.hub.ring(channel, position.offset - 1) if position else []
        return kept[-1] if kept else None

    def publish(self, draft: Draft, done: Done) -> None:
        self._drafts.append((draft, done))

    def charge(self, user: str) -> float:
        return self.wait

    def charge_bytes(self, session: Session, size: int) -> float:
        self.bytes_sent += size
        return self.wait_for_bytes

    def end_former(self, connection: str, *, user: str | None, client: str) -> None:
        self.formers.append((connection, user, client))
        former = self.sessions.get(connection)
        if former is not None and former.belongs_to(user, client):
            former.end_former()

    def seek(self, address: str, channel: str) -> None:
        if self.seeking is not None:
            raise self.seeking

    async def verify(self, token: str) -> Claims:
        await self.answering
        known = self.tokens.get(token, OpenlineError(Code.UNAUTHORIZED, "unknown token"))
        if isinstance(known, OpenlineError):
            raise known
        return known

    async def enter(
        self, subscription: Subscription, info: object, returning: Returning
    ) -> Present:
        await self.entering
        session = subscription.session
        member = Member(user=session.user, connection=session.id, client=returning.client)
        return await self.broker.enter(
            subscription.channel,
            member,
            self.incarnation,
            announce=True,
            former=returning.previous,
        )

    async def leave(self, subscription: Subscription, *, linger: bool) -> None:
        with suppress(OpenlineError):
            await self.broker.leave(
                subscription.channel,
                subscription.session.id,
                self.incarnation,
                announce=True,
                linger=linger,
            )


class RecordingConnection:
    """`interface.Connection` that keeps what was sent. `stuck`: its peer does not read, so that bytes wait."""

    address = "192.0.2.7"

    def __init__(self, host: ManualHost) -> None:
        self.closing = False
        self.last_received = host.now()
        self.sent: list[bytes] = []
        self.pings = 0
        self.paused = False
        self.stuck = False
        self.waiting = 0
        self.most = 0
        self.code: int | None = None
        self.reason = ""
        self.receiver: Session | None = None
        self._stalled = False
        self._read = 0

    def start(self, receiver: Any) -> None:
        self.receiver = receiver

    def send_frame(self, frame: bytes) -> None:
        if self.closing:
            return
        self.sent.append(frame)
        if self.stuck:
            self.waiting += len(frame)
            self.most = max(self.most, self.waiting)
            if self.waiting > MAX_BUFFERED and not self._stalled and self.receiver is not None:
                self._stalled = True
                self.receiver.stalled()

    send_text = send_binary = send_frame

    def ping(self) -> None:
        self.pings += 1

    def close(self, code: int, reason: str = "", *, patience: float = 5.0) -> None:
        if not self.closing:
            self.closing = True
            self.code, self.reason = code, reason

    def abort(self) -> None:
        self.closing = True

    def buffered(self) -> int:
        return self.waiting

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def stall(self) -> None:
        """The peer stops reading, with a full kernel buffer already."""
        self.stuck = True
        self.send_frame(
            framing.text_frame(b'{"type":"filler","data":"%b"}' % (b"x" * MAX_BUFFERED))
        )

    def drain(self) -> None:
        """The peer has read everything."""
        self.stuck = False
        self.waiting = 0
        if self._stalled and self.receiver is not None and not self.closing:
            self._stalled = False
            self.receiver.writable()

    def payloads(self) -> list[bytes]:
        """The messages sent since the last call."""
        new, self._read = self.sent[self._read :], len(self.sent)
        frames = framing.split_frames(b"".join(new))
        return [payload for opcode, payload in frames if opcode in (framing.TEXT, framing.BINARY)]

    def events(self) -> list[dict[str, Any]]:
        """The JSON messages sent since the last call."""
        events = [msgspec.json.decode(payload) for payload in self.payloads()]
        return [event for event in events if event["type"] != "filler"]

    def text(self) -> str:
        """What an event stream has sent since the last call."""
        new, self._read = self.sent[self._read :], len(self.sent)
        return b"".join(new).decode(errors="replace")


def now(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    raise AssertionError("it waits")


def brief(events: list[dict[str, Any]]) -> list[Any]:
    """Events as short as tests want them: messages as their offset or data, the rest as their type."""
    return [
        (event.get("offset") or event["data"]) if event["type"] == "message" else event["type"]
        for event in events
    ]
