"""The modelled world: its clock, its delays and losses, and the steps of a schedule carried out in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any, NamedTuple

from services.gateway.hub.port import HubLimits
from services.kernel.domain.positions import Position
from tests.property.simulator.client import Client, ViolationError
from tests.property.simulator.gateway import Gateway
from tests.property.simulator.store import Server, Store, UnavailableError

CALM = 10
"""Seconds without faults after which everyone must have everything.

In some schedules those who are away come back then; not in all, since their looks move the others on as well.
"""

LATEST = 2.0
"""Seconds that a call or a reply takes at most; beyond that a driver gives up."""

LIMITS = HubLimits(
    ring_count=4,
    ring_bytes=1000,
    buffer_count=2,
    buffer_bytes=1000,
    batch=2,
    positions=2,
    idle_seconds=3.0,
    idle_most=2,
)


class Step(NamedTuple):
    """What happens, after how many seconds, and to what."""

    wait: float
    name: str
    args: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return f"+{self.wait:.3f}s {self.name}({', '.join(map(repr, self.args))})"


class World:
    """`seed` decides delays and losses; the steps decide everything else. `roomy`: nothing is ever trimmed."""

    def __init__(self, seed: int, *, clients: int = 6, roomy: bool = False) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._parked: list[tuple[Gateway, tuple[int, int, float]]] = []
        self.slowness = 0.004
        self._loss = 0.0
        self._repeat = 0.0
        self._jitter = self.random.choice((0.0, 0.1, 0.3))
        self._returning = self.random.random() < 0.4
        self.read_count = 5
        self._payload = 0
        self.store = Store(
            history=1000 if roomy else 6,
            bus=1000 if roomy else 10,
            page=3,
            replicas_answer=self.random.random() < 0.5,
        )
        self._demoted: list[Server] = []
        self.channels = ("a", "b", "c")
        self.clients = [Client(f"client{i}", self.channels[min(i % 4, 2)]) for i in range(clients)]
        self.gateways = [Gateway(self, name, LIMITS) for name in ("north", "south")]
        for gateway in self.gateways:
            gateway.start()
        self._replaced = 0

    # Clock

    def at(self, time: float, action: Callable[..., None], *args: Any) -> None:
        self._order += 1
        heappush(self._events, (time, self._order, action, args))

    def after(self, seconds: float, action: Callable[..., None], *args: Any) -> None:
        self.at(self.now + seconds, action, *args)

    def _until(self, time: float) -> None:
        events = self._events
        while events and events[0][0] <= time:
            self.now, _, action, args = heappop(events)
            action(*args)
        self.now = time

    # Weather

    def delay(self) -> float:
        late = 30 if self.random.random() < self._jitter else 1
        return min(LATEST, self.random.expovariate(1.0) * self.slowness * late)

    def loses(self) -> bool:
        return self._loss > 0 and self.random.random() < self._loss

    def repeats(self) -> bool:
        return self._repeat > 0 and self.random.random() < self._repeat

    # Reads that block

    def park(self, gateway: Gateway, read: tuple[int, int, float]) -> None:
        self._parked.append((gateway, read))
        self.at(read[2], self.written)

    def written(self) -> None:
        parked, self._parked = self._parked, []
        for gateway, read in parked:
            gateway.unpark(*read)

    # A schedule

    def run(self, steps: Sequence[Step]) -> None:
        """Carry out the steps, then let all be well. Raises Violation."""
        try:
            self._until(0.1)
            for step in steps:
                self._until(self.now + step.wait)
                getattr(self, step.name)(*step.args)
            self._calm()
        except ViolationError:
            raise
        except Exception as error:
            raise ViolationError(f"the hub failed: {error!r}") from error

    def _calm(self) -> None:
        self.slowness, self._loss, self._repeat, self._jitter = 0.004, 0.0, 0.0, 0.0
        self.store.master.up = True
        for server in self._demoted:
            server.lag = 0
        for gateway in self.gateways:
            gateway.paused_until = min(gateway.paused_until, self.now)
        for client in self.clients:
            client.drain()
        clients = [client for client in self.clients if client.gateway or self._returning]
        for second in range(CALM):
            self._until(self.now + 1)
            if second == CALM // 2:
                for channel in sorted(self.store.expired):
                    self.publish(channel, 1)  # a head that expired tells nobody before that
            for client in clients:
                self._back(client)
        for client in clients:
            head = self.store.master.state.heads.get(client.channel)
            position = Position(head.epoch, head.offset) if head else None
            client.confirm(self.store.master.state.told, position)

    def _back(self, client: Client) -> None:
        """Join, also after a refusal."""
        if client.gateway is None:
            client.subscribe(self.random.choice(self.gateways), client.position, 0)

    # Steps: what clients do

    def publish(self, channel: str, number: int) -> None:
        for _ in range(number):
            self._payload += 1
            self._write(self.store.publish, channel, b"%d" % self._payload)

    def _write(self, script: Callable[..., Any], *args: Any) -> None:
        try:
            script(*args)
        except UnavailableError:
            return
        self.written()

    def join(self, client: int, gateway: int) -> None:
        """With the position it has, or without."""
        who = self.clients[client]
        if who.gateway is None:
            who.subscribe(self.gateways[gateway], who.position, 0)

    def join_last(self, client: int, gateway: int, last: int) -> None:
        who = self.clients[client]
        if who.gateway is None:
            who.subscribe(self.gateways[gateway], None, last)

    def join_with(self, client: int, gateway: int, other: int) -> None:
        """With the position that another client of the channel holds, ahead of this one or void."""
        who, holder = self.clients[client], self.clients[other]
        if who.gateway is None and who.channel == holder.channel and holder.position:
            who.position, who.segment = holder.position, dict(holder.segment)
            who.invented = holder.invented
            who.subscribe(self.gateways[gateway], who.position, 0)

    def join_beyond(self, client: int, gateway: int, ahead: int) -> None:
        """With an offset nobody was given yet."""
        who = self.clients[client]
        if who.gateway is None and who.position:
            who.segment = {}
            who.position = Position(who.position.epoch, who.position.offset + ahead)
            who.invented = who.position
            who.subscribe(self.gateways[gateway], who.position, 0)

    def leave(self, client: int) -> None:
        self.clients[client].leave()

    def drop_history(self, channel: str) -> None:
        self._write(self.store.drop, channel)

    def typing(self, channel: str) -> None:
        self._write(self.store.signal, channel)

    # Steps: what befalls the store

    def promote(self, lost: int, lag: int, frozen: float) -> None:
        """Connections still lead to the old master, which learns of its demotion after `frozen` seconds."""
        old = self.store.promote(lost, lag=lag, frozen=True)
        self._demoted.append(old)
        self.after(frozen, self._thaw, old)

    def _thaw(self, server: Server) -> None:
        server.frozen = False
        self.written()

    def crash(self, lost: int, down: float) -> None:
        """The master is down for a while and comes back without its last writes."""
        server = self.store.master
        server.up = False
        self.after(down, self._restart, server, lost)

    def _restart(self, server: Server, lost: int) -> None:
        server.up = True
        if server is self.store.master:
            self.store.restart(lost)
            self.written()

    def flush(self) -> None:
        self._write(self.store.flush)

    def trim_bus(self, keep: int) -> None:
        self._write(self.store.trim_bus, keep)

    def expire_log(self, channel: str, head: int) -> None:
        self._write(lambda: self.store.expire_log(channel, head=bool(head)))

    # Steps: what befalls gateways and the network

    def pause(self, gateway: int, seconds: float) -> None:
        self.gateways[gateway].paused_until = self.now + seconds

    def kill(self, gateway: int) -> None:
        """Another takes its place; its clients keep what they hold."""
        old = self.gateways[gateway]
        for client in self.clients:
            if client.gateway is old:
                client.leave()
        old.stop()
        self._replaced += 1
        self.gateways[gateway] = Gateway(self, f"{old.name}{self._replaced}", LIMITS)
        self.gateways[gateway].start()

    def stall(self, client: int) -> None:
        """It takes no more data."""
        self.clients[client].stalled = True

    def drain(self, client: int) -> None:
        self.clients[client].drain()

    def reconnect_reads(self, gateway: int) -> None:
        """A connection breaks and is made anew; the hub does not hear of it."""
        self.gateways[gateway].reads = self.store.master

    def overtake(self, gateway: int, channel: str, number: int, seconds: float) -> None:
        """A paused gateway misses entries that are trimmed before it goes on."""
        self.pause(gateway, seconds)
        self.publish(channel, number)
        self.trim_bus(0)

    def misdirect_looks(self, gateway: int, lag: int) -> None:
        """A connection is made to a node that is the master no more, or (with a lag) never was."""
        if lag:
            self._demoted.append(self.store.replica(lag))
        if self._demoted:
            self.gateways[gateway].looks = self._demoted[-1]

    def reconnect_looks(self, gateway: int) -> None:
        self.gateways[gateway].looks = self.store.master

    def slow(self, scale: float) -> None:
        self.slowness = scale

    def lossy(self, loss: float, repeat: float) -> None:
        self._loss, self._repeat = loss, repeat
