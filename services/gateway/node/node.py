"""A gateway among the others: its sessions and its hubs, its lease, and how it leaves."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import structlog

from services.gateway.fanout.audience import Audience
from services.gateway.fanout.replay_budget import Replays
from services.gateway.fanout.subscriber import Subscription
from services.gateway.hub.hub import Hub
from services.gateway.metrics import Metrics
from services.gateway.node.bus_health import Hearing
from services.gateway.node.control import Orders
from services.gateway.node.drain import drain
from services.gateway.node.evacuation import Evacuation
from services.gateway.node.partition import Line
from services.gateway.node.presence import Presence
from services.gateway.node.quota import Quota
from services.gateway.node.registry import Roster
from services.gateway.node.reports import REPORT_SECONDS, Reports
from services.gateway.node.timer_wheel import SLOT, Wheel
from services.gateway.session.session import Session
from services.kernel.broker.port import (
    KEEP_SECONDS,
    Beat,
    Beaten,
    Broker,
    Draft,
    Entry,
    Present,
)
from services.kernel.broker.publish_queue import Done, PublishQueue
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Close, Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Namespaces
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from services.kernel.domain.schemas import Schemas
from services.kernel.tokens.revocations import Revocations
from services.kernel.tokens.tickets import Tickets
from services.kernel.tokens.verifier import Verifier

KEPT_AT_ONCE = 500
"""Channels whose listeners are told again with one report."""

log = structlog.get_logger(__name__)


class Node:
    """Sessions and hubs of one gateway; satisfies what sessions and audiences ask for.

    `incarnation` names this life of the gateway to the others: random, and new whenever its lease was lost.
    """

    def __init__(
        self,
        *,
        name: str,
        broker: Broker,
        namespaces: Namespaces,
        limits: Limits,
        verifier: Verifier,
        tickets: Tickets,
        revocations: Revocations,
        metrics: Metrics,
        version: str = "",
        drain_seconds: float = 5.0,
    ) -> None:
        """`drain_seconds`: over which clients are moved when this gateway stays deaf."""
        self.name = name
        self.broker = broker
        self.namespaces = namespaces
        self.schemas = Schemas(namespaces)
        self.limits = limits
        self.metrics = metrics
        self.quota = Quota(limits)
        self.replays: Replays[Session] = Replays(limits.replay_bytes)
        self.incarnation = secrets.token_hex(8)
        self._leaving = False
        self._version = version
        self._verifier = verifier
        self._tickets = tickets
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._roster = Roster()
        self._orders = Orders(self._roster, revocations, wall=self.wall)
        self._reports = Reports(
            broker, limits, self.quota, incarnation=lambda: self.incarnation, now=self.now
        )
        self._wheel: Wheel[Session] = Wheel(self.now())
        self._tasks: set[asyncio.Task[None]] = set()
        self._publish_queue = PublishQueue(broker)
        self._presence = Presence(broker, namespaces, incarnation=lambda: self.incarnation)
        self.lines = [self._line(number) for number in range(broker.partitions)]
        self._hearing = Hearing(self.lines)
        self._evacuation = Evacuation(
            self._hearing,
            self._roster,
            broker,
            name=name,
            seconds=drain_seconds,
            metrics=metrics,
            now=self.now,
        )
        self._measure()

    def _line(self, number: int) -> Line:
        return Line(
            number,
            Hub(_Sink(self, self._orders, number), new_epoch=_new_epoch),
            self.broker,
            beat=self._beat,
            on_beaten=self._beaten,
            metrics=self.metrics,
        )

    def _measure(self) -> None:
        """What is read when somebody asks: an age that is only set at events stands still when they stop coming."""
        metrics = self.metrics
        metrics.begin(self.namespaces)
        metrics.draining.set_function(lambda: self.draining)
        metrics.store_up.set_function(lambda: self.started and not self.away())
        for number in range(len(self.lines)):
            metrics.resyncs.labels(number)
            metrics.bus_entries.labels(number)
            metrics.canary_age.labels(number).set_function(partial(self._canary_age, number))

    def _canary_age(self, partition: int) -> float:
        return self._hearing.age(partition, self.now())

    # Its life

    async def run(self) -> None:
        """Serve until cancelled."""
        await self.broker.start()
        async with asyncio.TaskGroup() as group:
            for line in self.lines:
                group.create_task(line.run())
            group.create_task(self._reports.run())
            group.create_task(self._keeping())
            group.create_task(self._obeying())
            group.create_task(self._turning())

    async def _obeying(self) -> None:
        # The record is read once the bus that announces is followed: what is revoked between the two would be missed.
        await self.lines[0].started.wait()
        await self._orders.run()

    async def drain(self, seconds: float) -> None:
        """Tell every client to move, each at its own moment of so many seconds, then close what is left with 4100."""
        self._leaving = True
        await drain(self._roster, seconds, drained=self.metrics.drained)

    async def close(self) -> None:
        """End the lease and give everything back.

        Not while somebody lingers: a lease that ends by itself leaves time to come back elsewhere unseen.
        """
        for line in self.lines:
            line.close()
        with suppress(OpenlineError, TimeoutError):
            async with asyncio.timeout(2):
                await self._reports.send_counts()
                if not len(self._presence):
                    await self.broker.resign(self.incarnation)
        for task in list(self._tasks):
            task.cancel()
        await self.broker.close()

    @property
    def started(self) -> bool:
        """Whether every partition has a position and revocations are known."""
        return self._orders.is_loaded and all(line.started.is_set() for line in self.lines)

    @property
    def draining(self) -> bool:
        """Whether clients are to go elsewhere: it leaves, or it has been deaf for too long."""
        return self._leaving or self._evacuation.active

    def deaf(self) -> list[int]:
        """Partitions whose bus is not heard although their beats are answered: not an outage, but this node's own."""
        return self._hearing.deaf(self.now())

    def away(self) -> list[int]:
        """Partitions whose store has not answered lately."""
        return self._hearing.away(self.now())

    # For sessions

    def now(self) -> float:
        """Seconds of the loop's clock."""
        return self._loop.time()

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def soon(self, callback: Callable[[], None]) -> None:
        """Call in the loop's next turn."""
        self._loop.call_soon(callback)

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call after so many seconds."""
        self._loop.call_later(seconds, callback)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end; what it raises is logged."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("task_failed", exc_info=task.exception())

    def session(self, connection: str) -> Session | None:
        """The session of a connection, if it is here."""
        return self._roster.get(connection)

    def register(self, session: Session) -> None:
        """Count a session that knows who it is.

        Raises `limit_exceeded` for one too many of its user, `unauthorized` when its token was revoked since it was
        verified: whoever revoked it closed those that were counted.
        """
        if session.claims is not None:
            self._check_revoked(session.claims)
        if session.user is not None:
            self._reports.connections(session.user, self.quota.join(session.user))
            self._reports.newcomer(session.user, session)
        self._roster.add(session)
        self.metrics.connections_of[session.transport].inc()

    def unregister(self, session: Session) -> None:
        """Forget a session that has ended, known or not."""
        self._wheel.forget(session)
        self.quota.release(session.connection.address)
        if not self._roster.remove(session):
            return
        self.metrics.connections_of[session.transport].dec()
        if session.user is not None:
            self._reports.connections(session.user, self.quota.part(session.user))

    def wake(self, session: Session, at: float) -> None:
        """Tick a session at this time."""
        self._wheel.put(session, at)

    def regroup(self, session: Session) -> None:
        """A session became hindered or unhindered."""
        for subscription in session.subscriptions.values():
            if subscription.audience is not None:
                subscription.audience.regroup(session)

    def subscribe(self, subscription: Subscription, *, since: Position | None, last: int) -> None:
        """Join a channel at its hub."""
        line = self._at(subscription.channel)
        line.hub.subscribe(
            subscription.channel, subscription, since=since, last=last, now=self.now()
        )
        line.pump()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Leave a channel at its hub."""
        line = self._at(subscription.channel)
        line.hub.unsubscribe(subscription.channel, subscription, self.now())
        line.pump()

    def counted(self, channel: str, listeners: int) -> None:
        """A channel has so many listeners here now; told to the fleet soon."""
        self._reports.listeners(channel, listeners)

    def position(self, channel: str) -> Position | None:
        """What every listener of a channel here has been given."""
        return self._at(channel).hub.position(channel)

    def newest(self, channel: str) -> Publication | None:
        """The newest publication of a channel that is kept here."""
        hub = self._at(channel).hub
        position = hub.position(channel)
        kept = hub.ring(channel, position.offset - 1) if position else []
        return kept[-1] if kept else None

    def publish(self, draft: Draft, done: Done) -> None:
        """Store a draft; `done` gets the result."""
        self._publish_queue.publish(draft, done)

    def charge(self, user: str) -> float:
        """Count a command of a user; 0, or the seconds to wait."""
        return self.quota.charge(user, self.now())

    def seek(self, session: Session, channel: str) -> None:
        """Count a channel that a client asks for and nobody here listens to. Raises `rate_limited`."""
        if self.position(channel) is None:
            self.quota.seek(session.connection.address, self.now())

    def seen(self, token: str) -> Claims | None:
        """The claims of a token that was verified before and is still good; None tells nothing about it."""
        claims = self._verifier.cached(token, self.wall())
        return None if claims is None or self._orders.covers(claims) else claims

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token that was not revoked. Raises `unauthorized` or `unavailable`."""
        claims = self._verifier.cached(token, self.wall())
        if claims is None:
            claims = await self._verifier.verify(token, self.wall())
        self._check_revoked(claims)
        return claims

    def _check_revoked(self, claims: Claims) -> None:
        if self._orders.covers(claims):
            raise OpenlineError(Code.UNAUTHORIZED, "the token has been revoked")

    async def redeem(self, ticket: str) -> Claims:
        """The claims of the token that a ticket stands for. Raises `unauthorized` or `unavailable`."""
        token = await self._tickets.redeem(ticket)
        if token is None:
            raise OpenlineError(
                Code.UNAUTHORIZED, "the ticket is unknown, used or older than 30 s; get a new one"
            )
        return await self.verify(token)

    async def enter(self, subscription: Subscription, info: object) -> Present:
        """Enter presence."""
        return await self._presence.enter(subscription, info)

    async def leave(self, subscription: Subscription, *, linger: bool) -> None:
        """Leave presence."""
        await self._presence.leave(subscription, linger=linger)

    def _at(self, channel: str) -> Line:
        return self.lines[self.broker.partition(channel)]

    # What lines tell

    def canary(self, partition: int, entry: Entry, now: float) -> None:
        """A beat came back on the bus."""
        said = msgspec.json.decode(b"{" + entry.fragment + b"}")
        if said.get("node") != self.incarnation:
            return
        self._hearing.hear(partition, now)
        self._evacuation.heard(partition)
        lag = max(0.0, now - self.lines[partition].beat_sent_at)
        self.metrics.delivery_lag.labels(partition).set(lag)

    def resynced(self, partition: int) -> None:
        """Entries may have been missed: control messages and listeners' counts among them."""
        self.metrics.resyncs.labels(partition).inc()
        self.spawn(self._orders.load())
        log.info("resync", partition=partition)

    def _beat(self) -> Beat:
        node = {
            "node": self.name,
            "connections": len(self._roster),
            "subscriptions": sum(len(s.subscriptions) for s in self._roster),
            "lag": round(self._hearing.lag(self.now()), 3),
            "version": self._version,
            "draining": self.draining,
            "uptime": round(self.now() - self._began),
        }
        return Beat(incarnation=self.incarnation, node=msgspec.json.encode(node))

    def _beaten(self, partition: int, beat: Beat, reply: Beaten) -> None:
        # A loss is told by every partition; it is one loss.
        if reply.lost and beat.incarnation == self.incarnation:
            self._be_reborn()
        for incarnation in reply.expired:
            self.spawn(self._reap(partition, incarnation))
        now = self.now()
        self._hearing.answered(partition, now)
        line = self.lines[partition]
        self.metrics.bus_lag.labels(partition).set(
            max(0, reply.bus - line.hub.position_of_reader) if line.hub.following else 0
        )
        if self._hearing.retry(partition, now):
            log.warning("deaf", partition=partition)
            line.reconnect()
        if self._evacuation.due and not self._leaving:
            self.spawn(self._evacuation.run())

    def _be_reborn(self) -> None:
        """The lease was lost: be someone else, and tell the store again who is here."""
        self.incarnation = secrets.token_hex(8)
        log.warning("lease_lost", incarnation=self.incarnation)
        for user, count in self._roster.counts().items():
            self._reports.connections(user, count)
        for session in self._roster:
            for subscription in session.subscriptions.values():
                if subscription.audience is not None:
                    self._reports.listeners(subscription.channel, len(subscription.audience))
        for line in self.lines:
            line.hurry()  # until the first beat the store takes nothing from the new incarnation
        self.spawn(self._presence.enter_all())

    async def _keeping(self) -> None:
        """Tell all numbers of listeners again now and then, some at a time: the store keeps what is listened to."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            self.quota.forget_addresses(self.now())
            for line in self.lines:
                names = line.hub.listened()
                for start in range(0, len(names), KEPT_AT_ONCE):
                    for name in names[start : start + KEPT_AT_ONCE]:
                        if listeners := line.hub.listeners(name):
                            self._reports.listeners(name, listeners)
                    await asyncio.sleep(REPORT_SECONDS)

    async def _reap(self, partition: int, incarnation: str) -> None:
        with suppress(OpenlineError):
            while await self.broker.reap(partition, incarnation):  # noqa: ASYNC110 - time is what is waited for
                await asyncio.sleep(0)

    async def _turning(self) -> None:
        while True:
            await asyncio.sleep(SLOT)
            for number, session in enumerate(self._wheel.due(self.now()), 1):
                self._tick(session)
                if not number % 500:
                    await asyncio.sleep(0)

    def _tick(self, session: Session) -> None:
        try:
            at = session.tick(self.now())
        except Exception:  # one session's bug must not stop the clock of all others
            log.exception("tick_failed", connection=session.id)
            session.close(Close.INTERNAL_ERROR, "internal error")
            return
        if at is not None:
            self._wheel.put(session, at)


class _Sink:
    """What a partition's hub tells the node."""

    def __init__(self, node: Node, orders: Orders, partition: int) -> None:
        self._node = node
        self._orders = orders
        self._partition = partition

    def audience(self, channel: str) -> Audience:
        return Audience(channel, self._node.namespaces.of(channel), self._node)

    def control(self, entry: Entry) -> None:
        self._orders.obey(entry)

    def canary(self, entry: Entry, now: float) -> None:
        self._node.canary(self._partition, entry, now)

    def resynced(self, now: float) -> None:
        del now
        self._node.soon(partial(self._node.resynced, self._partition))


def _new_epoch() -> str:
    return secrets.token_hex(6)
