"""What each kind of fault does to the system, and what it may cost."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar

from loadtest.chaos.cluster_store import Cluster
from loadtest.chaos.proxy import SteerableProxy, spare_none
from loadtest.chaos.schedule import Fault, Kind
from loadtest.chaos.stores import KINDS, Replicated, Server, Standalone, Store
from loadtest.chaos.system import Front, System

_READY_SECONDS = 30.0
_BRIEFLY = (0.1, 8.0)
_LONG = (0.1, 20.0)
_SLOW = (2.0, 8.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a fault may cost. `loses`: acknowledged messages of so many seconds before it, and of a few after it, of which
    everybody is told. `resets`: whether clients may be told of a loss. `heals`: seconds after its end until which publishes
    may be refused. `empties`: whether the store loses all that it held.
    """

    loses: float = 0.0
    resets: bool = False
    heals: float = 10.0
    empties: bool = False


class Act:
    """One kind of fault. `begin` returns when it has begun, `end` when all that was spoilt has been put right; what was
    killed is started again by its supervisor. `stores`: with which kinds of store it can be had; `host`: whether it needs
    the machine on which the system runs.
    """

    name: ClassVar[str]
    cost: ClassVar[Cost] = Cost()
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    hits: ClassVar[str] = ""
    stores: ClassVar[frozenset[str]] = frozenset(KINDS)
    host: ClassVar[bool] = True

    def __init__(self, front: Front, fault: Fault) -> None:
        self.front = front
        self.fault = fault
        self.over = 0
        """When it could do no more harm, in milliseconds since 1970; 0: that is when it ends."""

    @property
    def system(self) -> System:
        """What runs here. A fault that needs it does not happen to what runs elsewhere."""
        assert isinstance(self.front, System)
        return self.front

    async def begin(self) -> None:
        """Let it happen."""
        raise NotImplementedError

    async def end(self) -> None:
        """Put it right."""


# Services


class _Service(Act):
    number: ClassVar[signal.Signals]
    service: ClassVar[str] = ""

    async def begin(self) -> None:
        await self.system.signal(self.fault.target or self.service, self.number)


class GatewayKill(_Service):
    """SIGKILL to a gateway."""

    name = "gateway-kill"
    hits = "gateway"
    number = signal.SIGKILL


class GatewayStop(_Service):
    """SIGTERM to a gateway, which moves its clients and is started again."""

    name = "gateway-stop"
    hits = "gateway"
    number = signal.SIGTERM


class PublisherKill(_Service):
    """SIGKILL to the publisher."""

    name = "publisher-kill"
    service = "publisher"
    number = signal.SIGKILL


class PublisherStop(_Service):
    """SIGTERM to the publisher, which is started again."""

    name = "publisher-stop"
    service = "publisher"
    number = signal.SIGTERM


class AuthKill(_Service):
    """SIGKILL to auth."""

    name = "auth-kill"
    service = "auth"
    number = signal.SIGKILL


class NginxReload(_Service):
    """SIGHUP to nginx: new workers, and the old ones' clients move."""

    name = "nginx-reload"
    service = "nginx"
    number = signal.SIGHUP


class _Pause(_Service):
    lasts = _LONG
    number = signal.SIGSTOP

    async def end(self) -> None:
        await self.system.signal(self.fault.target or self.service, signal.SIGCONT)


class GatewayPause(_Pause):
    """SIGSTOP to a gateway, and SIGCONT."""

    name = "gateway-pause"
    hits = "gateway"


class PublisherPause(_Pause):
    """SIGSTOP to the publisher, and SIGCONT."""

    name = "publisher-pause"
    service = "publisher"


class RollingRestart(Act):
    """SIGTERM to each gateway, the next one when the one before is ready."""

    name = "rolling-restart"
    cost = Cost(heals=15)

    async def begin(self) -> None:
        """As `Act.begin`."""
        for name in self.system.gateways:
            before = self.system.pid(name)
            await self.system.signal(name, signal.SIGTERM)
            await self.system.replaced(name, before, seconds=_READY_SECONDS)


# The store

_RESTARTED = Cost(resets=True)
_KILLED = Cost(loses=3, resets=True)
_EMPTIED = Cost(loses=60, resets=True, empties=True)
"""Whatever has not been delivered yet, which other faults may have held up."""


_LAG = 0.5
_STANDALONE = frozenset({"standalone"})
_REPLICATED = frozenset({"sentinel", "cluster"})


class _OfStore(Act):
    """What happens to servers of the store."""

    @property
    def store(self) -> Store:
        """The store."""
        return self.system.store

    async def chosen(self) -> Server:
        """One master: of several another one each time, and with the same seed the same."""
        return await self.store.master(int(self.fault.at * 100))

    async def everywhere(self, *command: object) -> None:
        """Ask each master. Raises RedisError."""
        for server in await self.store.masters():
            await server.command(*command)


class _OfStandalone(_OfStore):
    stores = _STANDALONE

    @property
    def store(self) -> Standalone:
        """The store."""
        assert isinstance(self.system.store, Standalone)
        return self.system.store

    @property
    def way(self) -> SteerableProxy:
        """The line to it."""
        assert self.store.way is not None
        return self.store.way


class _OfReplicated(_OfStore):
    stores = _REPLICATED

    @property
    def store(self) -> Replicated:
        """The store."""
        assert isinstance(self.system.store, Replicated)
        return self.system.store


class RedisRestart(_OfStandalone):
    """SIGTERM to Redis, which is started again with its file."""

    name = "redis-restart"
    cost = _RESTARTED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await (await self.chosen()).restart(signal.SIGTERM)


class RedisKill(_OfStandalone):
    """SIGKILL to Redis, which is started again with its file: its last second may be lost."""

    name = "redis-kill"
    cost = _KILLED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await (await self.chosen()).restart(signal.SIGKILL)


class RedisEmpty(_OfStandalone):
    """SIGKILL to Redis, which is started again without its file."""

    name = "redis-empty"
    cost = _EMPTIED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await (await self.chosen()).restart(signal.SIGKILL, emptied=True)


class RedisPause(_OfStore):
    """SIGSTOP to Redis, and SIGCONT; a replica may take over."""

    name = "redis-pause"
    cost = Cost(loses=3, resets=True, heals=25)
    lasts = _BRIEFLY

    async def begin(self) -> None:
        """As `Act.begin`."""
        self._server = await self.chosen()
        self._server.send(signal.SIGSTOP)

    async def end(self) -> None:
        """As `Act.end`."""
        self._server.send(signal.SIGCONT)
        await self.store.whole()


class RedisFlush(_OfStore):
    """FLUSHALL."""

    name = "redis-flush"
    cost = _EMPTIED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.everywhere("FLUSHALL")


class ScriptFlush(_OfStore):
    """SCRIPT FLUSH: the store forgets every script."""

    name = "script-flush"

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.everywhere("SCRIPT", "FLUSH")


class BusTrim(_OfStore):
    """The bus between the services cut down to its newest entry, again and again."""

    name = "bus-trim"
    lasts = (0.1, 2.0)

    async def begin(self) -> None:
        """As `Act.begin`."""
        self._going = True
        self._trimming = asyncio.create_task(self._trim())

    async def _trim(self) -> None:
        while self._going:
            await self.store.trim_buses()
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        """As `Act.end`."""
        self._going = False  # not cancelled: redis-py may swallow that
        await self._trimming


class MemoryFull(_OfStore):
    """Maxmemory below what is used: nothing can be stored."""

    name = "memory-full"
    lasts = _SLOW

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.everywhere("CONFIG", "SET", "maxmemory", "1mb")

    async def end(self) -> None:
        """As `Act.end`."""
        await self.everywhere("CONFIG", "SET", "maxmemory", "0")


class FirstReplica(_OfStandalone):
    """A first replica is attached and goes again: Redis takes a new replication id."""

    name = "first-replica"
    cost = _RESTARTED
    lasts = _SLOW

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.store.attach()

    async def end(self) -> None:
        """As `Act.end`."""
        await self.store.detach()


def _marked(said: bytes) -> bool:
    """Whether it is the connection on which a gateway hears its bus."""
    return b"XREAD" in said


class BusHole(_OfStandalone):
    """Gateways hear their bus late, and find that it was trimmed meanwhile."""

    name = "bus-hole"
    lasts = (1.0, 4.0)

    async def begin(self) -> None:
        """As `Act.begin`."""
        self.way.spares = lambda said: not _marked(said)
        self.way.hung = True

    async def end(self) -> None:
        """As `Act.end`."""
        await self.store.trim_buses()
        self.way.hung = False
        self.way.spares = spare_none


class AnswersLate(BusHole):
    """A hole in the bus; then all else is answered 800 ms late, and the bus is heard at once."""

    name = "answers-late"
    lasts = (2.0, 5.0)

    async def begin(self) -> None:
        """As `Act.begin`."""
        await super().begin()
        await asyncio.sleep(1)
        await super().end()
        self.way.spares = lambda said: _marked(said) or b"EVALSHA" not in said
        self.way.answers_delay = 0.8

    async def end(self) -> None:
        """As `Act.end`."""
        self.way.answers_delay = 0.0
        self.way.spares = spare_none


class Failover(_OfReplicated):
    """A replica is promoted by command while the master is well."""

    name = "failover"
    cost = Cost(loses=3, resets=True)

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.store.failover(await self.chosen())

    async def end(self) -> None:
        """As `Act.end`."""
        await self.store.whole()


class MasterKill(_OfReplicated):
    """SIGKILL to a master, which a replica replaces; it comes back as a replica."""

    name = "master-kill"
    cost = Cost(loses=3, resets=True)
    lag: ClassVar[float] = 0.0

    async def begin(self) -> None:
        """As `Act.begin`."""
        self._server = await self.chosen()
        if self.lag:
            await self.store.cut_replicas(self._server)
            await asyncio.sleep(self.lag)
        await self._server.end(signal.SIGKILL)
        await self.store.moved_from(self._server)

    async def end(self) -> None:
        """As `Act.end`."""
        await self._server.start()
        await self.store.rejoin(self._server)


class LaggingKill(MasterKill):
    """The replicas hear nothing for half a second, then SIGKILL to the master."""

    name = "lagging-kill"
    lag = _LAG


class MasterCut(_OfReplicated):
    """A master is cut off from its replicas and from all who watch it, and not from the services."""

    name = "master-cut"
    cost = Cost(loses=3, resets=True, heals=25)
    lasts = (6.0, 9.0)

    async def begin(self) -> None:
        """As `Act.begin`: until another one is promoted, from when on nobody may write to this one."""
        self._server = await self.chosen()
        await self.store.cut_off(self._server)
        await self.store.moved_from(self._server)
        self.over = now()

    async def end(self) -> None:
        """As `Act.end`."""
        await self.store.rejoin(self._server)


class SlotMove(_OfStore):
    """A partition is moved to another master, key by key."""

    name = "slot-move"
    cost = _RESTARTED
    stores = frozenset({"cluster"})

    async def begin(self) -> None:
        """As `Act.begin`."""
        assert isinstance(self.store, Cluster)
        await self.store.move_slot(int(self.fault.at * 100))


# The network


class _Network(Act):
    lasts = _SLOW

    @property
    def way(self) -> SteerableProxy:
        """What is spoilt."""
        raise NotImplementedError


class _ToRedis(_OfStandalone, _Network):
    pass


class _ToClients(_Network):
    host = False

    @property
    def way(self) -> SteerableProxy:
        return self.front.way


Spoil = Callable[[SteerableProxy], Awaitable[None]]


def _set(name: str, value: object) -> Spoil:
    async def spoil(way: SteerableProxy) -> None:
        setattr(way, name, value)

    return spoil


async def _cut(way: SteerableProxy) -> None:
    way.reset()


async def _again(way: SteerableProxy) -> None:
    """What was lost on the way cannot be had again: such connections end."""
    way.swallows = ""
    way.reset()


async def _halve(way: SteerableProxy) -> None:
    way.halve()


_WAYS: tuple[tuple[str, str, Spoil, Spoil | None], ...] = (
    ("cut", "every connection ends by RST", _cut, None),
    ("stall", "nothing passes, and nothing is closed", _set("hung", True), _set("hung", False)),
    ("slow", "everything takes 200 ms, each way", _set("delay", 0.2), _set("delay", 0.0)),
    ("trickle", "1 KB a second a connection", _set("rate", 1000), _set("rate", 0)),
    ("deaf", "answers are lost, requests arrive", _set("swallows", "answers"), _again),
    ("mute", "requests are lost", _set("swallows", "requests"), _again),
    ("half-open", "the far side is gone, and nobody is told", _halve, _cut),
)


def _network(side: type[_Network], prefix: str, where: str) -> list[type[Act]]:
    """The ways in which a line can be spoilt, one class each."""
    made: list[type[Act]] = []
    for name, about, begin, end in _WAYS:

        async def begins(self: _Network, spoil: Spoil = begin) -> None:
            await spoil(self.way)

        async def ends(self: _Network, spoil: Spoil | None = end) -> None:
            if spoil is not None:
                await spoil(self.way)

        made.append(
            type(
                f"{prefix}-{name}",
                (side,),
                {
                    "name": f"{prefix}-{name}",
                    "__doc__": f"{where}: {about}.",
                    "lasts": _SLOW if end else (0.0, 0.0),
                    "begin": begins,
                    "end": ends,
                },
            )
        )
    return made


# Clients


class SlowReaders(Act):
    """Half of the plain readers do not read for a while."""

    name = "slow-readers"
    lasts = (2.0, 12.0)
    host = False

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.front.readers("slow")

    async def end(self) -> None:
        """As `Act.end`."""
        await self.front.readers("fast")


class Disconnect(Act):
    """The back end closes the connections of a user of each plain kind (4004)."""

    name = "disconnect"
    host = False

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.front.disconnect()


_ACTS: tuple[type[Act], ...] = (
    GatewayKill,
    GatewayStop,
    GatewayPause,
    RollingRestart,
    PublisherKill,
    PublisherStop,
    PublisherPause,
    AuthKill,
    NginxReload,
    RedisRestart,
    RedisKill,
    RedisEmpty,
    RedisPause,
    RedisFlush,
    ScriptFlush,
    BusTrim,
    MemoryFull,
    FirstReplica,
    BusHole,
    AnswersLate,
    Failover,
    MasterKill,
    LaggingKill,
    MasterCut,
    SlotMove,
    *_network(_ToRedis, "redis", "The line to Redis"),
    *_network(_ToClients, "clients", "The line of clients"),
    SlowReaders,
    Disconnect,
)

ACTS = {act.name: act for act in _ACTS}


def kinds(store: str | None, *, gateways: int, only: frozenset[str] = frozenset()) -> list[Kind]:
    """What can happen to a system with a kind of store, or to one that runs elsewhere (None)."""
    found = []
    for act in ACTS.values():
        possible = not act.host if store is None else store in act.stores
        if possible and (not only or act.name in only):
            targets = tuple(f"gateway-{n}" for n in range(1, gateways + 1)) if act.hits else ()
            found.append(Kind(act.name, targets, act.lasts))
    return found


def now() -> int:
    """In milliseconds since 1970."""
    return int(time.time() * 1000)


def made(front: Front, fault: Fault) -> Act:
    """What is to be done to a system for a fault of the schedule."""
    return ACTS[fault.kind](front, fault)
