"""What every connection has in common: its user, its subscriptions, its heartbeat, its end.

A session never awaits. What needs the store is asked of the node, which calls back. It holds no task, queue or timer
of its own while it is idle.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence

import structlog

from services.gateway.fanout.backlog import PIECE
from services.gateway.fanout.subscriber import Subscriber, Subscription
from services.gateway.fanout.wire_format import WireFormat
from services.gateway.hub.port import Joined
from services.gateway.session import subscribing
from services.gateway.session.heartbeat import Due, Heartbeat, expires
from services.gateway.session.port import Host
from services.gateway.session.rates import Rates, too_fast
from services.gateway.session.returning import NEWCOMER, Returning
from services.gateway.websocket import CLOSE_TIMEOUT, Connection, frames
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, Code, OpenlineError, connection_limit
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

log = structlog.get_logger(__name__)

CROWDED = "too many clients are replaying history right now; reconnect later"

SLOW_PATIENCE = 60.0
"""Seconds that a slow consumer has to read its buffer and the close behind it."""


class Session(Subscriber):
    """A connection's state. `id` names the connection to the whole fleet.

    `opened`: it is authenticated. `slot` is the wheel's. `proxy` names the instance of the front door that it came through,
    or nothing.
    """

    __slots__ = (
        "_heartbeat",
        "_rates",
        "claims",
        "id",
        "node",
        "opened",
        "proxy",
        "slot",
        "subscriptions",
        "user",
    )

    transport = "websocket"
    heartbeat_type: type[Heartbeat] = Heartbeat
    alive = frames.pong_frame(b"")
    """What keeps the way open and asks for no answer: a pong that nobody asked for (RFC 6455 section 5.5.3)."""

    @property
    def returning(self) -> Returning:
        """What the client said of itself when it came."""
        return NEWCOMER

    @property
    def limit(self) -> int:
        """See Subscriber."""
        return self.node.limits.outbox_bytes

    def __init__(self, node: Host, connection: Connection, wire_format: WireFormat) -> None:
        super().__init__(connection, wire_format, limit=node.limits.outbox_bytes)
        self.id = secrets.token_hex(8)
        self.node = node
        self.claims: Claims | None = None
        self.user: str | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.opened = False
        self.proxy = ""
        self.slot = -1
        self._rates: Rates | None = None  # made when needed: many never say anything
        self._heartbeat = self.heartbeat_type()

    # Opening

    def start(self, claims: Claims | None, since: Mapping[str, Position] | None = None) -> None:
        """Begin, as the holder of a verified token or anonymously.

        Closes with 4104 or 4006 over a connection limit, with 4005 when the token was revoked since it was verified.
        """
        self.claims = claims
        self.user = claims.sub if claims else None
        try:
            self.node.register(self)
        except OpenlineError as error:
            revoked = error.code is Code.UNAUTHORIZED
            self.close(Close.REVOKED if revoked else connection_limit(error), error.message)
            return
        self.opened = True
        log.debug(
            "connection_opened", connection=self.id, user=self.user, address=self.connection.address
        )
        self.schedule()
        wanted = [
            (Subscription(self, channel, server=True), position, last)
            for channel, position, last in self.wanted(since or {})
        ]
        if any(position for _, position, _ in wanted):
            self.node.metrics.reconnects.labels(self.transport).inc()
        assert self.opening is not None
        self.opening.awaited = {subscription for subscription, _, _ in wanted}
        for subscription, _, _ in wanted:
            self.subscriptions[subscription.channel] = subscription
        for subscription, position, last in wanted:
            if self.has(subscription):
                self.join(subscription, since=position, last=last)
        if not wanted:
            self._connected()

    def wanted(self, since: Mapping[str, Position]) -> Iterable[tuple[str, Position | None, int]]:
        """The channels, with positions to recover from, that the server subscribes this session to."""
        for channel in self.node.namespaces.on_connect(self.user):
            if not subscribing.withheld(self.claims, channel):
                yield channel, since.get(channel), 0

    def has(self, subscription: Subscription) -> bool:
        """Whether it was not dropped meanwhile."""
        return self.subscriptions.get(subscription.channel) is subscription

    def join(self, subscription: Subscription, *, since: Position | None, last: int) -> None:
        """Enter presence where it is on, then join at the hub; `joined` or `refused` is called, now or later."""
        if self.node.namespaces.of(subscription.channel).presence:
            self.node.spawn(self._join_present(subscription, since=since, last=last))
        else:
            self.node.subscribe(subscription, since=since, last=last)

    async def _join_present(
        self, subscription: Subscription, *, since: Position | None, last: int
    ) -> None:
        if not self.has(subscription):
            return
        subscription.present = True  # from now on dropping it leaves, behind this call
        try:
            info = self.claims.info if self.claims else None
            subscription.count = await self.node.enter(subscription, info, self.returning)
        except OpenlineError as error:
            if self.has(subscription):
                self.refused(subscription, error)
            return
        if self.has(subscription):
            self.node.subscribe(subscription, since=since, last=last)

    def _connected(self) -> None:
        assert self.opening is not None
        self.greet(self.opening.places)
        held, self.opening = self.opening.frames, None
        if held:
            self.write(self.released(held))
        self.write_on()
        self._release_replay()
        self.node.regroup(self)
        self.ready()

    def released(self, frames: bytearray) -> bytes:
        """What was held until `connected`, as it is written now."""
        return bytes(frames)

    def greet(self, places: Mapping[str, Joined]) -> None:
        """Write the first event, which names the channels that the server subscribed it to and its places in them."""
        raise NotImplementedError

    def ready(self) -> None:
        """Opened: what the client sent meanwhile can be taken."""

    # What the audience tells

    def joined(self, subscription: Subscription, joined: Joined) -> None:
        """The hub has answered a subscription: its place in the channel, and what it missed."""
        if joined.recovered is not None:
            namespace = subscription.channel.partition(":")[0]
            self.node.metrics.recoveries.labels(namespace, str(joined.recovered).lower()).inc()
        if self.opening is None or not self.opening.awaits(subscription):
            self.acknowledge(subscription, joined)
            self._replay(subscription, joined.publications)
            return
        self.opening.places[subscription.channel] = joined
        self._replay(subscription, joined.publications)
        if not self.is_closed:
            self._answered(subscription)

    def _answered(self, subscription: Subscription) -> None:
        """One less to wait for before `connected`."""
        opening = self.opening
        if opening is not None and opening.awaits(subscription) and opening.answered(subscription):
            self._connected()

    def _replay(self, subscription: Subscription, publications: Sequence[Publication]) -> None:
        if not publications:
            return
        if self.personalizes:
            self._replay_personally(subscription, publications)
        else:
            self.node.replay_budget.hand_over(subscription, self)
            self.replay(subscription.channel, publications)
            if self.backlog is not None:
                self.node.regroup(self)
        self._release_replay()

    def _replay_personally(
        self, subscription: Subscription, publications: Sequence[Publication]
    ) -> None:
        """What differs from client to client is made at once, and the publications are let go."""
        frame = self.personalize(subscription, publications, b"")
        self.node.replay_budget.release(subscription)
        if self.claim_room(frame):
            self.send_asked(frame)
        else:
            self.close(Close.OVERLOADED, CROWDED)

    def claim_room(self, frame: bytes) -> bool:
        """Whether there is room for a frame that its client may leave unread; see ReplayBudget."""
        if self.unread + len(frame) <= PIECE:
            return True
        return self.node.replay_budget.hold_bytes(self, len(frame))

    def _release_replay(self) -> None:
        """What it was sent has left, as far as it is not stalled."""
        if self.opening is None and self.backlog is None and not self.is_stalled:
            self.node.replay_budget.release(self)

    def acknowledge(self, subscription: Subscription, joined: Joined) -> None:
        """Answer the client's subscribe."""

    def refused(self, subscription: Subscription, error: OpenlineError) -> None:
        """The subscription cannot be had now."""
        self.drop(subscription)
        if self.opening is not None and self.opening.awaits(subscription):
            self.close(
                Close.OVERLOADED, f"cannot subscribe to {subscription.channel} now: {error.message}"
            )

    def reset(
        self,
        subscription: Subscription,  # noqa: ARG002 - for sessions that keep positions
        position: Position,  # noqa: ARG002
        event: bytes,
    ) -> None:
        """Continuity of a channel is lost, and goes on from `position`; `event` tells so."""
        self.send(event)

    def awaits(self, token: str) -> bool:  # noqa: ARG002 - for sessions that publish without echo
        """Whether an `echo: false` publish with this token waits for its delivery."""
        return False

    def echoed(self, publication: Publication) -> None:
        """The awaited publication takes its place in the channel's order."""

    # What the client and the back end ask

    def drop(self, subscription: Subscription, *, linger: bool = False) -> None:
        """Receive nothing more of a subscription, and leave its presence."""
        if self.has(subscription):
            del self.subscriptions[subscription.channel]
        self.node.unsubscribe(subscription)
        if subscription.present:
            self.node.spawn(self.node.leave(subscription, linger=linger))

    def subscribe_by_server(self, channel: str) -> None:
        """The back end subscribes this connection to a channel."""
        if channel not in self.subscriptions and self.opened and not self.is_closed:
            subscription = Subscription(self, channel, server=True)
            self.subscriptions[channel] = subscription
            self.join(subscription, since=None, last=0)

    def unsubscribe_by_server(self, channel: str, reason: str) -> None:
        """The back end or a lost permission ends a subscription."""
        subscription = self.subscriptions.get(channel)
        if subscription is not None:
            self.drop(subscription)
            self.send(
                self.wire_format.event("unsubscribed", {"channel": channel, "reason": reason})
            )
            self._answered(subscription)

    def direct(self, data: bytes, ts: int) -> None:
        """A message for this one connection: compact JSON text, and milliseconds since 1970."""

    @property
    def rates(self) -> Rates:
        """What counts how often it speaks."""
        if self._rates is None:
            self._rates = Rates(self.node.limits)
        return self._rates

    def charge(self, size: int) -> OpenlineError | None:
        """Count a command of this size in bytes against the rates; the refusal when there were too many."""
        limits = self.node.limits
        if not limits.rates:
            return None
        wait = self.rates.command(self.node.now())
        if not wait and self.user is not None:
            wait = self.node.charge(self.user)
        if wait:
            return too_fast("commands", limits.command_rate, wait=wait)
        # Before it is open nothing can be published, and whom the bytes belong to is not known.
        if self.opened and (wait := self.node.charge_bytes(self, size)):
            return too_fast("bytes", limits.user_bytes_rate, wait=wait)
        return None

    def refuse(self, error: OpenlineError, *, id: int | str | None = None) -> None:
        """Tell the client what was wrong; one that never stops is closed with 4000."""
        self.node.metrics.errors.labels(error.code.value).inc()
        if self.rates.refusal(self.node.now()):
            self.close(Close.BAD_REQUEST, f"too many refused messages; the last: {error.message}")
            return
        self.send(self.wire_format.error(id, error))

    # Time

    def schedule(self) -> None:
        """Ask to be woken when something is due."""
        self.node.wake(self, self._next(self.node.now()))

    def tick(self, now: float) -> float | None:
        """Heartbeat and expiry; the time of the next tick, or None at the end."""
        if self.is_closed:
            return None
        if not self.opened:
            self.close(Close.UNAUTHORIZED, "no token came in time; send auth first")
            return None
        self._check_heartbeat(now)
        self._expiry()
        return None if self.is_closed else self._next(now)

    def _next(self, now: float) -> float:
        limits = self.node.limits
        if not self.opened:
            return now + limits.auth_seconds
        due = self._heartbeat.next(now, received=self.connection.last_received, limits=limits)
        left = self._heartbeat.expiry(self.claims, self.node.wall())
        return due if left is None else min(due, now + left)

    def _check_heartbeat(self, now: float) -> None:
        limits = self.node.limits
        due = self._heartbeat.due(now, received=self.connection.last_received, limits=limits)
        if due is Due.PING:
            self.ping()
        elif due is Due.DEAD:
            self._end_dead(now)
        elif due is Due.ALIVE:
            # Not a ping: its answer would count as life, and the client would never get the `ping` that it waits for.
            self.connection.send_frame(self.alive)

    def ping(self) -> None:
        """Ask the client for a sign of life."""
        self.connection.ping()

    def is_quiet(self, since: float) -> bool:
        """Whether it can be moved unnoticed: it is open, has nothing to read, and nothing came since then."""
        ready = self.opened and self.opening is None and not self.is_closed
        busy = self.backlog is not None or self.is_stalled
        return ready and not busy and self.connection.last_received < since

    def probe(self, since: float) -> bool:
        """Ask at once for a pong if nothing came since then, by the node's clock; whether the client was asked.

        A protocol ping: browsers answer it by themselves, also for a page that is asleep.
        """
        if self.is_closed or self.connection.last_received >= since:
            return False
        self.connection.ping()
        return True

    def end_silent(self, since: float) -> None:
        """End the connection if nothing came since then."""
        if self.connection.last_received < since:
            self._end_dead(self.node.now())

    def _end_dead(self, now: float) -> None:
        silent = round(now - self.connection.last_received)
        self.close(Close.NO_HEARTBEAT, f"no message or pong came for {silent} s")

    def _expiry(self) -> None:
        left = self._heartbeat.expiry(self.claims, self.node.wall())
        if left is None or left > 0:
            return
        if self._heartbeat.is_notified:
            self.close(Close.TOKEN_EXPIRED, "the token has expired")
            return
        self._heartbeat.is_notified = True
        self.expiring()

    def expiring(self) -> None:
        """Tell the client that its token ends soon."""
        self.send(self.wire_format.event("expiring", {"expires": expires(self.claims)}))

    def renew(self, claims: Claims) -> None:
        """A new token for the same user; subscriptions that it no longer allows end."""
        if claims.sub != self.user:
            raise OpenlineError(
                Code.FORBIDDEN, "the token is another user's; open a new connection for it"
            )
        self.claims = claims
        self._heartbeat.is_notified = False
        for channel in subscribing.void(self, claims):
            self.unsubscribe_by_server(channel, "permission")
        self.schedule()

    # The end, and the rest of Receiver

    def received_text(self, text: bytes) -> None:
        """A text message; see Receiver."""
        raise NotImplementedError

    def received_binary(self, data: bytes) -> None:
        """A binary message; see Receiver."""
        del data
        self.close(Close.UNSUPPORTED_DATA, "send text messages here")

    def received_pong(self) -> None:
        """A protocol pong; that something came is all that counts."""

    def stalled(self) -> None:
        """See Subscriber."""
        hindered = not self.unhindered
        super().stalled()
        if not hindered:
            self.node.regroup(self)

    def writable(self) -> None:
        """See Subscriber."""
        super().writable()
        self._release_replay()
        if self.unhindered:
            self.node.regroup(self)

    def reconnect(self, event: bytes) -> None:
        """The node, or the front door before it, is leaving; `event` tells within how many seconds to move."""
        self.send(event)

    def belongs_to(self, user: str | None, client: str) -> bool:
        """Whether this is the user's connection; without a user, whether it is that anonymous client's."""
        if user is None and not client:
            return False
        return self.user == user and (user is not None or self.returning.client == client)

    def end_former(self) -> None:
        """The client is back on another connection. That one takes this one's place in presence, so nobody leaves."""
        self._close(Close.DISCONNECTED, "the client is back on another connection", linger=True)

    def shutdown(self) -> None:
        """The server stops now."""
        self.close(Close.DRAINING, "1")

    def close(self, code: int, reason: str = "") -> None:
        """End the connection with a code that tells the client what to do."""
        self._close(code, reason, linger=not Close.BAD_REQUEST <= code < Close.DRAINING)

    def _close(self, code: int, reason: str, *, linger: bool) -> None:
        if self.is_closed:
            return
        self.node.metrics.closes_of[int(code)].inc()
        log.info(
            "connection_closed", connection=self.id, user=self.user, code=int(code), reason=reason
        )
        self._end(linger=linger)
        # A slow consumer has a full buffer to read before it can learn why.
        patience = SLOW_PATIENCE if code == Close.SLOW_CONSUMER else CLOSE_TIMEOUT
        self.connection.close(int(code), reason, patience=patience)

    def closed(self, code: int, reason: str, clean: bool) -> None:  # noqa: FBT001 - Receiver's
        """The connection is over; see Receiver."""
        if not self.is_closed:
            log.debug(
                "client_disconnected", connection=self.id, user=self.user, code=code, reason=reason
            )
            self.node.metrics.closes_of[int(code)].inc()
            # A reloaded page goes away (1001) and is back at once.
            self._end(linger=not clean or code == Close.GOING_AWAY)

    def _end(self, *, linger: bool) -> None:
        self.is_closed = True
        self.backlog = None
        self.node.replay_budget.release(self)
        for subscription in list(self.subscriptions.values()):
            self.drop(subscription, linger=linger)
        self.subscriptions.clear()
        self.node.unregister(self)


def end_slow(reader: Session | Subscription) -> None:
    """Close a client that has not read what it asked for, while others wait for the room that it takes."""
    session = reader.session if isinstance(reader, Subscription) else reader
    session.close(Close.SLOW_CONSUMER, "slow consumer: read what you asked for")
