"""Faults of the store: its servers end, hang, lose what they hold, or others take their places."""

from __future__ import annotations

import asyncio
import signal
from typing import ClassVar

from loadtest.chaos.acts import SLOW, Act, Cost, now
from loadtest.chaos.cluster_store import Cluster
from loadtest.chaos.proxy import SteerableProxy, spare_none
from loadtest.chaos.stores import Replicated, Server, Standalone, Store

BRIEFLY = (0.1, 8.0)

_RESTARTED = Cost(resets=True)
_KILLED = Cost(loses=3, resets=True)
_EMPTIED = Cost(loses=60, resets=True, empties=True)
"""Whatever has not been delivered yet, which other faults may have held up."""


_LAG = 0.5
_STANDALONE = frozenset({"standalone"})
_REPLICATED = frozenset({"sentinel", "cluster"})


class OfStore(Act):
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


class OfStandalone(OfStore):
    """What happens to the one server, or to the line to it."""

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


class OfReplicated(OfStore):
    """What happens to masters that have replicas."""

    stores = _REPLICATED

    @property
    def store(self) -> Replicated:
        """The store."""
        assert isinstance(self.system.store, Replicated)
        return self.system.store


class RedisRestart(OfStandalone):
    """SIGTERM to Redis, which is started again with its file."""

    name = "redis-restart"
    cost = _RESTARTED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await (await self.chosen()).restart(signal.SIGTERM)


class RedisKill(OfStandalone):
    """SIGKILL to Redis, which is started again with its file: its last second may be lost."""

    name = "redis-kill"
    cost = _KILLED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await (await self.chosen()).restart(signal.SIGKILL)


class RedisEmpty(OfStandalone):
    """SIGKILL to Redis, which is started again without its file."""

    name = "redis-empty"
    cost = _EMPTIED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await (await self.chosen()).restart(signal.SIGKILL, emptied=True)


class RedisPause(OfStore):
    """SIGSTOP to Redis, and SIGCONT; a replica may take over."""

    name = "redis-pause"
    cost = Cost(loses=3, resets=True, heals=25)
    lasts = BRIEFLY

    async def begin(self) -> None:
        """As `Act.begin`."""
        self._server = await self.chosen()
        self._server.send(signal.SIGSTOP)

    async def end(self) -> None:
        """As `Act.end`."""
        self._server.send(signal.SIGCONT)
        await self.store.whole()


class RedisFlush(OfStore):
    """FLUSHALL."""

    name = "redis-flush"
    cost = _EMPTIED

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.everywhere("FLUSHALL")


class ScriptFlush(OfStore):
    """SCRIPT FLUSH: the store forgets every script."""

    name = "script-flush"

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.everywhere("SCRIPT", "FLUSH")


class BusTrim(OfStore):
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


class MemoryFull(OfStore):
    """Maxmemory below what is used: nothing can be stored."""

    name = "memory-full"
    lasts = SLOW

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.everywhere("CONFIG", "SET", "maxmemory", "1mb")

    async def end(self) -> None:
        """As `Act.end`."""
        await self.everywhere("CONFIG", "SET", "maxmemory", "0")


class FirstReplica(OfStandalone):
    """A first replica is attached and goes again: Redis takes a new replication id."""

    name = "first-replica"
    cost = _RESTARTED
    lasts = SLOW

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.store.attach()

    async def end(self) -> None:
        """As `Act.end`."""
        await self.store.detach()


def _marked(said: bytes) -> bool:
    """Whether it is the connection on which a gateway hears its bus."""
    return b"XREAD" in said


class BusHole(OfStandalone):
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


class Failover(OfReplicated):
    """A replica is promoted by command while the master is well."""

    name = "failover"
    cost = Cost(loses=3, resets=True)

    async def begin(self) -> None:
        """As `Act.begin`."""
        await self.store.failover(await self.chosen())

    async def end(self) -> None:
        """As `Act.end`."""
        await self.store.whole()


class MasterKill(OfReplicated):
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


class MasterCut(OfReplicated):
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


class SlotMove(OfStore):
    """A partition is moved to another master, key by key."""

    name = "slot-move"
    cost = _RESTARTED
    stores = frozenset({"cluster"})

    async def begin(self) -> None:
        """As `Act.begin`."""
        assert isinstance(self.store, Cluster)
        await self.store.move_slot(int(self.fault.at * 100))


ACTS: tuple[type[Act], ...] = (
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
)
