"""A modelled gateway: the real hub, and a driver that carries out its calls with the world's delays and failures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from services.gateway.hub.hub import Hub
from services.gateway.hub.port import HubLimits, Joined, LookCall
from services.gateway.node.partition import READ_SECONDS
from services.kernel.broker.port import Batch, Beaten, Entry
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication
from tests.property.simulator.client import Client
from tests.property.simulator.store import DemotedError, UnavailableError

if TYPE_CHECKING:
    from tests.property.simulator.world import World


STALLED = 3.0
"""Seconds for which an entry that a beat told of has not arrived, after which connections are made anew (10 in production,
as much shorter as the calm at the end of a schedule is)."""


class Room:
    """An audience of modelled clients."""

    def __init__(self) -> None:
        self.clients: dict[Client, None] = {}

    def deliver(self, publication: Publication) -> None:
        for client in self.clients:
            if not client.stalled:
                client.deliver(publication)

    def signal(self, entry: Entry) -> None:
        pass

    def reset(self, epoch: str, offset: int, *, began: int, reason: str) -> None:
        for client in self.clients:
            client.reset(epoch, offset, began=began if reason == "epoch" else offset)

    def add(self, subscriber: Any, joined: Joined) -> None:
        self.clients[subscriber] = None
        subscriber.joined(joined)

    def remove(self, subscriber: Any) -> None:
        del self.clients[subscriber]

    def refuse(self, subscriber: Any, error: OpenlineError) -> None:
        subscriber.refused()


class Gateway:
    """`reads` and `looks` are the servers that its connections lead to; writes find the master or fail.

    A reconnect may be lost as any call may. What then reads on from a server that is the master no more is found by
    canaries that stay away, as `node.bus_health` finds it.
    """

    def __init__(self, world: World, name: str, limits: HubLimits) -> None:
        self.world = world
        self.name = name
        self.paused_until = 0.0
        self.reads = self.looks = world.store.master
        self._epochs = 0
        self._wake: float | None = None
        self._reading = False
        self._stopped = False
        self._told: tuple[int, float] | None = None  # the bus id that is waited for, and since when
        self._acknowledged_at = float("-inf")
        self.resyncs = 0
        self.hub = Hub(self, new_epoch=self._new_epoch, limits=limits)

    def _new_epoch(self) -> str:
        self._epochs += 1
        return f"{self.name}o{self._epochs}"

    # The hub's sink

    def audience(self, channel: str) -> Room:
        return Room()

    def control(self, entry: Entry) -> None:
        pass

    def canary(self, entry: Entry, now: float) -> None:
        pass

    def resynced(self, now: float) -> None:
        self.resyncs += 1

    # The driver

    def start(self) -> None:
        self._beat()

    def stop(self) -> None:
        """It is killed: whatever is still under way for it goes nowhere."""
        self._stopped = True

    def subscribe(self, client: Client, since: Position | None, last: int) -> None:
        self.hub.subscribe(client.channel, client, since=since, last=last, now=self.world.now)
        self._drain()

    def unsubscribe(self, client: Client) -> None:
        self.hub.unsubscribe(client.channel, client, self.world.now)
        self._drain()

    def _drain(self) -> None:
        for effect in self.hub.effects():
            if isinstance(effect, LookCall):
                self._look(effect)
            else:
                self._renew()
        self._read()
        wake = self.hub.wake
        if wake is not None and (self._wake is None or wake < self._wake):
            self._wake = wake
            self.world.at(max(wake, self.world.now), self._tick)

    def _tick(self) -> None:
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until, self._tick)
            return
        if self._stopped:
            return
        self._wake = None
        self.hub.tick(self.world.now)
        self._drain()

    def _call(self, ask: Callable[[], Any], answer: Callable[..., None]) -> None:
        """Carry out a call: a delay there, a delay back; it or its answer may be lost, its answer may come again."""
        world = self.world

        def there() -> None:
            reply = None
            if not world.loses():
                with suppress(UnavailableError):
                    reply = ask()
                if world.loses():
                    reply = None
            world.after(world.delay(), self._back, answer, reply)
            if world.repeats():
                world.after(world.delay() * 3, self._back, answer, reply)

        world.after(world.delay(), there)

    def _back(self, answer: Callable[..., None], reply: Any) -> None:
        """A paused process sees its replies when it goes on."""
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until, self._back, answer, reply)
            return
        if not self._stopped:
            answer(reply)
            self._drain()

    def _look(self, call: LookCall) -> None:
        def ask() -> Any:
            try:
                return self.world.store.look(self.looks, call.looks)
            except DemotedError:
                self._reconnect()  # as the adapter's link does
                raise
            finally:
                self.world.written()

        self._call(ask, lambda replies: self.hub.looked(call, replies, self.world.now))

    def _renew(self) -> None:
        self._call(self._reconnect, lambda _: self.hub.reconnected(self.world.now))

    def _reconnect(self) -> None:
        self.reads = self.looks = self.world.store.master

    def _beat(self) -> None:
        """Every second, whatever became of the one before."""
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until, self._beat)
            return
        if self._stopped:
            return
        sent = self.hub.bus_position

        def ask() -> Any:
            beaten = self.world.store.beat(self.world.now)
            self.world.written()
            return beaten

        def answered(reply: Beaten | None) -> None:
            self.hub.beaten(reply, sent, self.world.now)
            if reply is not None:
                self._watch(reply)

        self._call(ask, answered)
        self.world.after(1.0, self._beat)

    def _watch(self, reply: Beaten) -> None:
        """A beat was answered: what it tells of is due, counted anew after an outage and after each try."""
        now, before = self.world.now, self._acknowledged_at
        self._acknowledged_at = now
        position = self.hub.bus_position if self.hub.following else -1
        if self._told is None or self._told[0] <= position or now - before > STALLED / 2:
            self._told = (reply.bus, now)
        elif now - self._told[1] > STALLED:
            self._told = (reply.bus, now)
            self._renew()

    def _read(self) -> None:
        """One read at a time."""
        if not self._reading and self.hub.following:
            self._reading = True
            after, generation = self.hub.bus_position, self.hub.generation
            until = self.world.now + READ_SECONDS
            self.world.after(self.world.delay(), self._block, after, generation, until)

    def _block(self, after: int, generation: int, until: float) -> None:
        """The server answers when there is something, or after the time to block."""
        world = self.world
        try:
            entries = world.store.read(self.reads, after, world.read_count)
        except UnavailableError:
            world.after(0.1, self._entries, generation, [])
            return
        if world.loses():
            world.after(0.1, self._entries, generation, [])
        elif entries or world.now >= until:
            world.after(world.delay(), self._entries, generation, entries)
        else:
            world.park(self, (after, generation, until))

    def unpark(self, after: int, generation: int, until: float) -> None:
        self._block(after, generation, until)

    def _entries(self, generation: int, entries: list[Entry]) -> None:
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until, self._entries, generation, entries)
            return
        if self._stopped:
            return
        self._reading = False
        batch = Batch.of(0, entries)
        if batch:
            self.hub.entries(generation, batch, self.world.now)
            if self.world.repeats():
                self.hub.entries(generation, batch, self.world.now)
        self._drain()
