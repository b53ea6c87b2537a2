"""A gateway among the others: puts its parts together, and gives its sessions what they ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from services.gateway.fanout.audience import Audience
from services.gateway.fanout.lag_budget import LagBudget
from services.gateway.fanout.subscriber import Subscription
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.metrics import Metrics
from services.gateway.node.buses import Buses
from services.gateway.node.control import ControlMessages
from services.gateway.node.drain import OrderedDrain, drain, move
from services.gateway.node.failover import Failover
from services.gateway.node.fleet import Fleet
from services.gateway.node.lease import Lease, keep_reporting
from services.gateway.node.presence import Presence
from services.gateway.node.probes import Probes
from services.gateway.node.quota import Quota, counted_as
from services.gateway.node.registry import Registry
from services.gateway.node.relay import Relay
from services.gateway.node.reports import Reports
from services.gateway.node.shedder import Shedder
from services.gateway.node.ticks import Ticks
from services.gateway.node.tokens import Tokens
from services.gateway.node.turn import Turn
from services.gateway.session.announcement import announcement
from services.gateway.session.returning import Returning
from services.gateway.session.session import Session, end_slow
from services.kernel.broker.port import (
    KEEP_SECONDS,
    Broker,
    Done,
    Draft,
    Present,
)
from services.kernel.broker.publish_queue import PublishQueue
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Namespaces
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from services.kernel.domain.schemas import Schemas
from services.kernel.ops.tasks import Calls
from services.kernel.tokens.revocations import Revocations
from services.kernel.tokens.tickets import Tickets
from services.kernel.tokens.verifier import Verifier

log = structlog.get_logger(__name__)


class Node:
    """Sessions and hubs of one gateway; satisfies what sessions and audiences ask for."""

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
        end: Callable[[str], None],
        version: str = "",
        drain_seconds: float = 5.0,
        shedding: bool = False,
    ) -> None:
        """`end` ends the process with a reason; `drain_seconds`: over which clients are moved before that.

        `shedding`: connections are handed over while others have fewer.
        """
        self._loop = asyncio.get_running_loop()
        self._turn = Turn(self._loop.call_soon)
        # No methods, which would be a further call for each message.
        self.now, self.soon = self._loop.time, self._turn.soon
        self.name = name
        self.broker = broker
        self.namespaces = namespaces
        self.schemas = Schemas(namespaces)
        self.limits = limits
        self.announcement = announcement(name, limits, namespaces, version=version)
        self.metrics = metrics
        self.quota = Quota(limits)
        self.replay_budget: ReplayBudget[Session | Subscription] = ReplayBudget(
            limits.replay_bytes, now=self.now, end=end_slow
        )
        self.lag_budget = LagBudget(limits.conflate_bytes)
        self._is_shedding = shedding
        self._leaving = False
        self._calls = Calls(metrics.task_failures, "call")
        self._publish_queue = PublishQueue(broker)
        self._registry = Registry()
        self._ticks = Ticks(self.now)
        self.fleet = Fleet(broker, self._registry, spawn=self.spawn)
        self._probes = Probes(
            self._registry,
            now=self.now,
            call_later=self._loop.call_later,
            order=self.fleet.order_probe,
        )
        self._ordered_drain = OrderedDrain(
            name, self._registry, drained=metrics.drained, spawn=self._calls.spawn
        )
        self.relay = Relay(broker, self._registry, relayed=metrics.relayed, spawn=self.spawn)
        self._control = ControlMessages(
            self._registry,
            revocations,
            wall=self.wall,
            move=self._move,
            probe=self._probes.probe,
            drain=self._ordered_drain.handle,
            relay=self.relay,
        )
        self.tokens = Tokens(verifier, tickets, self._control, wall=self.wall)
        self._join_fleet(version)
        self._follow_buses(drain_seconds, end)
        self._measure()

    def _join_fleet(self, version: str) -> None:
        self.lease = Lease(
            self.broker,
            self._registry,
            name=self.name,
            version=version,
            now=self.now,
            draining=lambda: self.draining,
            spawn=self.spawn,
        )
        self._reports = Reports(
            self.broker,
            self.limits,
            self.quota,
            incarnation=self._incarnation,
            now=self.now,
            full=self._probes.order,
            counted=self._note_gateways,
        )
        self._presence = Presence(self.broker, self.namespaces, incarnation=self._incarnation)
        self._shedder = Shedder(
            self.broker,
            self._registry,
            name=self.name,
            shed=self.metrics.shed,
            now=self.now,
            spawn=self.spawn,
        )

    def _incarnation(self) -> str:
        return self.lease.incarnation

    def _follow_buses(self, drain_seconds: float, end: Callable[[str], None]) -> None:
        self.buses = Buses(
            self.broker,
            lease=self.lease,
            control=self._control,
            audience=self._audience,
            budget=self.replay_budget,
            metrics=self.metrics,
            turn=self._turn,
            now=self.now,
            resynced=lambda: self.spawn(self._control.load(whole=True)),
            renew=lambda: self.lease.renew(self._reports, self._presence, self.buses.workers),
            acknowledged=self._check_failover,
        )
        self._failover = Failover(
            self.buses.health,
            self.broker,
            name=self.name,
            drain=partial(self._fail_over, drain_seconds),
            end=end,
            now=self.now,
        )

    def _note_gateways(self, number: int) -> None:
        """As many share the fleet's rates, and what the store can do after a failover."""
        self.quota.divide(number)
        for worker in self.buses.workers:
            worker.hub.gateways = number

    def _audience(self, channel: str) -> Audience:
        return Audience(channel, self.namespaces.of(channel), self)

    def _check_failover(self) -> None:
        if self._failover.due and not self._leaving and not self._ordered_drain.active:
            self.spawn(self._failover.run())

    def _measure(self) -> None:
        """What is read when somebody asks: an age that is only set at events stands still when they stop coming."""
        metrics = self.metrics
        metrics.begin(self.namespaces)
        metrics.draining.set_function(lambda: self.draining)
        metrics.store_up.set_function(lambda: self.started and not self.buses.unavailable())
        metrics.lag_bytes.set_function(lambda: self.lag_budget.held)
        metrics.store_full.set_function(lambda: self.buses.full)

    # Its life

    async def run(self) -> None:
        """Serve until cancelled."""
        await self.broker.start()
        watch = self.metrics.task_failures.watch
        async with asyncio.TaskGroup() as group:
            for worker in self.buses.workers:
                group.create_task(watch("partition", worker.run()))
            group.create_task(watch("reports", self._reports.run()))
            group.create_task(watch("listeners", keep_reporting(self._reports, self.buses.workers)))
            group.create_task(watch("quota", self._forgetting()))
            group.create_task(watch("control", self._handling_control()))
            group.create_task(watch("ticks", self._ticks.run()))
            if self._is_shedding:
                group.create_task(watch("shedding", self._shedder.run()))

    async def _handling_control(self) -> None:
        # The record is read once the bus that announces is followed: what is revoked between the two would be missed.
        await self.buses.workers[0].started.wait()
        await self._control.run()

    async def drain(self, seconds: float) -> None:
        """Tell every client to move, each at its own moment within `seconds`, then close those left with 4100."""
        self._leaving = True
        self._ordered_drain.stop()
        await drain(self._registry, seconds, drained=self.metrics.drained)

    def _move(self, proxy: str, seconds: float) -> None:
        """The clients that are here now: a client that arrives during the move comes through an instance that stays."""
        sessions = [session for session in self._ticks.waiting() if session.proxy == proxy]
        log.info("proxy_clients_moved", proxy=proxy, clients=len(sessions), seconds=seconds)
        self.spawn(move(sessions, seconds, drained=self.metrics.drained))

    async def _fail_over(self, seconds: float) -> None:
        self.metrics.evacuations.inc()
        await self.drain(seconds)

    async def close(self) -> None:
        """End the lease and give everything back.

        Not while somebody lingers: a lease that ends by itself leaves time to come back elsewhere unseen.
        """
        for worker in self.buses.workers:
            worker.close()
        with suppress(OpenlineError, TimeoutError):
            async with asyncio.timeout(2):
                await self._reports.send_counts()
                if not len(self._presence):
                    await self.lease.resign()
        self._calls.cancel()
        await self.broker.close()

    @property
    def started(self) -> bool:
        """Whether revocations are known, and every partition has a position and a canary has come there once."""
        return self._control.is_loaded and self.buses.started

    @property
    def draining(self) -> bool:
        """Whether clients are to go elsewhere: this gateway leaves, its drain was ordered, or its bus is lost."""
        return self._leaving or self._ordered_drain.active or self._failover.active

    @property
    def turns_away(self) -> bool:
        """Whether newcomers are to ask another gateway: this one is being emptied, or hands over what it has too much."""
        return self.draining or self._shedder.turns_away

    # For sessions

    def wall(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back after the given seconds."""
        self._loop.call_later(seconds, callback)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end; what it raises is logged."""
        self._calls.spawn(work)

    def session(self, connection: str) -> Session | None:
        """The session of a connection, if it is here."""
        return self._registry.get(connection)

    def sessions(self) -> list[Session]:
        """Those that are authenticated here now."""
        return list(self._registry)

    def register(self, session: Session) -> None:
        """Count an authenticated session.

        Raises `rate_limited` or, once that lasts, `limit_exceeded` for one too many of its user, `unauthorized` when its
        token was revoked since it was verified: the revocation closed only sessions that were counted.
        """
        if session.claims is not None:
            self.tokens.check(session.claims)
        if session.user is not None:
            self._join(session.user)
            self._reports.newcomer(session.user, session)
        self._registry.add(session)
        if self._is_shedding:
            self._shedder.newcomers.came(session.id, self.now())
        self.metrics.connections_of[session.transport].inc()

    def _join(self, user: str) -> None:
        try:
            count = self.quota.join(user, self.now())
        except OpenlineError:
            self._probes.order(user)
            raise
        self._reports.connections(user, count)

    def unregister(self, session: Session) -> None:
        """Forget a session that has ended, known or not."""
        self._ticks.forget(session)
        self.quota.release(session.connection.address)
        if not self._registry.remove(session):
            return
        self.metrics.connections_of[session.transport].dec()
        if session.user is not None:
            self._reports.connections(session.user, self.quota.part(session.user))

    def wake(self, session: Session, at: float) -> None:
        """Tick a session at this time."""
        self._ticks.put(session, at)

    def regroup(self, session: Session) -> None:
        """A session became hindered or unhindered."""
        for subscription in session.subscriptions.values():
            if subscription.audience is not None:
                subscription.audience.regroup(session)

    def subscribe(self, subscription: Subscription, *, since: Position | None, last: int) -> None:
        """Join a channel at its hub."""
        worker = self.buses.of(subscription.channel)
        worker.hub.subscribe(
            subscription.channel, subscription, since=since, last=last, now=self.now()
        )
        worker.pump()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Leave a channel at its hub."""
        worker = self.buses.of(subscription.channel)
        worker.hub.unsubscribe(subscription.channel, subscription, self.now())
        worker.pump()

    def counted(self, channel: str, listeners: int) -> None:
        """Set the number of a channel's listeners here; it is reported to the fleet soon."""
        self._reports.listeners(channel, listeners)

    def position(self, channel: str) -> Position | None:
        """What every listener of a channel here has been given."""
        return self.buses.of(channel).hub.position(channel)

    def began(self, channel: str) -> int:
        """The offset at which the epoch of that position began."""
        return self.buses.of(channel).hub.began(channel)

    def newest(self, channel: str) -> Publication | None:
        """The newest publication of a channel that is kept here."""
        hub = self.buses.of(channel).hub
        position = hub.position(channel)
        kept = hub.ring(channel, position.offset - 1) if position else []
        return kept[-1] if kept else None

    def publish(self, draft: Draft, done: Done) -> None:
        """Store a draft; `done` gets the result."""
        self._publish_queue.publish(draft, done)

    def charge(self, user: str) -> float:
        """Count a command of a user; 0, or the seconds to wait."""
        return self.quota.commands.spend(user, self.now())

    def charge_bytes(self, session: Session, size: int) -> float:
        """Count what a client sends; 0, or the seconds to wait."""
        who = session.user or f"/{counted_as(session.connection.address)}"
        return self.quota.bytes.spend(who, self.now(), size)

    def end_former(self, connection: str, *, user: str | None, client: str) -> None:
        """See Fleet."""
        self.fleet.end_former(connection, user=user, client=client)

    def seek(self, address: str, channel: str) -> None:
        """Count a channel that an address asks for and nobody here listens to. Raises `rate_limited`."""
        if self.position(channel) is None:
            self.quota.seek(address, self.now())

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token that was not revoked. Raises `unauthorized` or `unavailable`."""
        return await self.tokens.verify(token)

    async def enter(
        self, subscription: Subscription, info: object, returning: Returning
    ) -> Present:
        """Enter presence."""
        return await self._presence.enter(subscription, info, returning)

    async def leave(self, subscription: Subscription, *, linger: bool) -> None:
        """Leave presence."""
        await self._presence.leave(subscription, linger=linger)

    async def _forgetting(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            self.quota.forget_addresses(self.now())
