"""A cluster that is mistreated: three masters with a replica each, the line of whose buses can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from deploy.local.ports import free_port
from loadtest.chaos.cluster_nodes import ClusterNodes, node_options
from loadtest.chaos.proxy import SteerableProxy
from loadtest.chaos.stores import Replicated, Server, until

_MASTERS = 3
_NODE_TIMEOUT = 2000
_PARTITIONS = 4
_NOBODY = ("nobody", "wrong")
"""By this user and password a replica is refused: as long as it has them, it hears nothing."""


class Cluster(Replicated):
    """Each node speaks from an address of its own, and is reached on its bus by way of a proxy: so it can be kept from one
    node, and not from another.
    """

    kind = "cluster"
    settings: ClassVar[Mapping[str, str]] = {"OPENLINE_PARTITIONS": str(_PARTITIONS)}

    def __init__(self, engine: str, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self._servers: list[Server] = []
        self._ways: list[SteerableProxy] = []
        self._nodes: ClusterNodes[Server] = ClusterNodes(self._servers, [])

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, engine: str, folder: Path) -> AsyncIterator[Cluster]:
        """Started, and ended with the block."""
        store = cls(engine, folder)
        async with contextlib.AsyncExitStack() as stack:
            try:
                for number in range(2 * _MASTERS):
                    await store._start(number, stack)
                store._nodes = ClusterNodes(store._servers, [way.port for way in store._ways])
                await asyncio.to_thread(store._nodes.join, _MASTERS)
                store.url = store._nodes.url
                yield store
            finally:
                for server in store._servers:
                    await server.end(signal.SIGKILL)

    async def _start(self, number: int, stack: contextlib.AsyncExitStack) -> None:
        bus = free_port()
        way = await stack.enter_async_context(SteerableProxy(bus))
        options = {
            **node_options(_NODE_TIMEOUT),
            "cluster-port": bus,
            "cluster-announce-ip": "127.0.0.1",
            "replica-announce-ip": "127.0.0.1",  # else a master names the address from which it speaks
            "cluster-announce-bus-port": way.port,
            "bind-source-addr": _address(number),
            "protected-mode": "no",  # it takes no other address than 127.0.0.1 for loopback
        }
        server = Server(self._engine, self._folder / f"redis-{number}", options)
        self._servers.append(server)
        self._ways.append(way)
        await server.start()

    async def masters(self) -> Sequence[Server]:
        """As `Store.masters`: those that have a partition of Openline's."""
        found = await asyncio.to_thread(self._owners)
        return [server for server in self._servers if server in found]

    def _owners(self, but: Server | None = None) -> list[Server]:
        return [self._nodes.master(key, but=but) for key in _keys()]

    async def whole(self) -> None:
        """As `Store.whole`."""
        await asyncio.to_thread(self._nodes.wait_whole, 60.0)

    async def failover(self, master: Server) -> None:
        """As `Replicated.failover`."""
        replica = (await asyncio.to_thread(self._nodes.replicas, master))[0]
        await replica.command("CLUSTER", "FAILOVER")
        await self.moved_from(master)

    async def moved_from(self, master: Server, *, seconds: float = 60) -> None:
        """As `Replicated.moved_from`: as the others say."""

        async def moved() -> bool:
            return master not in await asyncio.to_thread(self._owners, master)

        await until(moved, "another master", seconds=seconds)

    async def cut_replicas(self, master: Server) -> None:
        """As `Replicated.cut_replicas`: until the master joins again."""
        for replica in await asyncio.to_thread(self._nodes.replicas, master):
            await self._log_in_as(replica, *_NOBODY)
        await master.command("CLIENT", "KILL", "TYPE", "replica")

    async def _log_in_as(self, replica: Server, user: str, password: str) -> None:
        await replica.command("CONFIG", "SET", "masteruser", user, "masterauth", password)

    async def cut_off(self, master: Server) -> None:
        """As `Replicated.cut_off`: no node hears it, nor does it hear any."""
        await self.cut_replicas(master)
        cut = self._servers.index(master)
        for number, way in enumerate(self._ways):
            others = [_address(other) for other in range(len(self._servers)) if other != number]
            way.barred = set(others if number == cut else [_address(cut)])

    async def rejoin(self, master: Server) -> None:  # noqa: ARG002
        """As `Replicated.rejoin`."""
        for way in self._ways:
            if way.barred:
                way.barred = set()
                way.reset()  # parts of what was said are missing
        for server in self._servers:
            await self._log_in_as(server, "", "")
        await self.whole()

    async def move_slot(self, partition: int) -> None:
        """Move a partition to another master, key by key."""
        await asyncio.to_thread(self._move, _keys()[partition % _PARTITIONS])

    def _move(self, key: str) -> None:
        self._nodes.move(key, self._nodes.another_master(key))


def _keys() -> list[str]:
    """A key of each partition."""
    return [f"{{p{number}}}" for number in range(_PARTITIONS)]


def _address(number: int) -> str:
    """From which a node speaks; all of 127.0.0.0/8 is loopback."""
    return f"127.0.1.{number + 1}"
