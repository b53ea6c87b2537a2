"""Servers that form a cluster: how they are joined, who serves what, how a slot is moved.

All of it blocks. An event loop hands it to a thread.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import redis
from redis.crc import key_slot

SLOTS = 16384
_POLL = 0.02


class Node(Protocol):
    """One server."""

    port: int

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""

    def client(self) -> redis.Redis:
        """A new synchronous client; the caller closes it."""


N = TypeVar("N", bound=Node)


def node_options(node_timeout: int) -> dict[str, str]:
    """The settings of a server that is to be a node; `node_timeout` in milliseconds."""
    return {
        "cluster-enabled": "yes",
        "cluster-require-full-coverage": "no",
        "cluster-node-timeout": str(node_timeout),
        "cluster-allow-replica-migration": "no",
    }


class ClusterNodes(Generic[N]):
    """Nodes that run, the masters first, and at which port the bus of each is reached."""

    def __init__(self, servers: Sequence[N], buses: Sequence[int]) -> None:
        self.servers = servers
        self._buses = buses
        self._ids: dict[int, str] = {}

    def join(self, masters: int) -> None:
        """Share the slots among so many masters and the replicas among those. Raises TimeoutError."""
        self._ids = {one.port: command(one, "CLUSTER", "MYID").decode() for one in self.servers}
        first, *others = self.servers
        for place, one in enumerate(self.servers[:masters]):
            ends = (SLOTS * place // masters, SLOTS * (place + 1) // masters - 1)
            command(one, "CLUSTER", "ADDSLOTSRANGE", *ends)
            command(one, "CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for one in others:
            command(one, "CLUSTER", "MEET", "127.0.0.1", first.port, self._buses[0])
        wait_for(lambda: all(len(_known(one)) == len(self.servers) for one in self.servers))
        for place, one in enumerate(self.servers[masters:]):
            master = self._ids[self.servers[place % masters].port]
            wait_for(partial(_replicate, one, master))
        self.wait_whole()

    def wait_whole(self, seconds: float = 90.0) -> None:
        """Until every node that runs sees all slots served, and every replica follows its master. Raises TimeoutError."""
        wait_for(lambda: all(_is_well(one) for one in self.running), seconds)

    @property
    def running(self) -> list[N]:
        """The nodes whose processes run."""
        return [one for one in self.servers if one.is_running]

    @property
    def url(self) -> str:
        """The URL by which the masters are found."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{one.port}' for one in self.servers)}"

    def id(self, server: N) -> str:
        """The name that a node has in the cluster."""
        return self._ids[server.port]

    def master(self, key: str = "{p0}", *, but: N | None = None) -> N:
        """The node that serves a key now, as most nodes that run say; `but` is not asked."""
        slot = key_slot(key.encode())
        asked = [one for one in self.running if one is not but]
        votes = [found for one in asked if (found := _serving(one, slot))]
        port = max(set(votes), key=votes.count)
        return next(one for one in self.servers if one.port == port)

    def replica(self, key: str = "{p0}") -> N:
        """A replica of the node that serves a key."""
        return self.replicas(self.master(key))[0]

    def replicas(self, master: N) -> list[N]:
        """Those that follow a node and run."""
        found = [(one, info(one)) for one in self.running]
        return [
            one
            for one, about in found
            if about["role"] == "slave" and about["master_port"] == master.port
        ]

    def another_master(self, key: str = "{p0}") -> N:
        """A master that does not serve a key."""
        present = self.master(key)
        return next(
            one for one in self.running if one is not present and info(one)["role"] == "master"
        )

    def client(self, key: str = "{p0}") -> redis.Redis:
        """A new synchronous client of the node that serves a key; the caller closes it."""
        return self.master(key).client()

    def move(self, key: str, to: N, *, pause: Callable[[], object] | None = None) -> int:
        """Move a key's slot to another master key by key, as redis-cli does; how many keys it held.

        `pause` is called when half of the keys have moved.
        """
        slot, source = key_slot(key.encode()), self.master(key)
        command(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(to))
        moved, half = 0, command(source, "CLUSTER", "COUNTKEYSINSLOT", slot) // 2
        while names := command(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            command(
                source, "MIGRATE", "127.0.0.1", to.port, "", 0, 30_000, "REPLACE", "KEYS", *names
            )
            moved += len(names)
            if pause is not None and moved >= half:
                pause()
                pause = None
        for one in (to, source, *self.running):
            if info(one)["role"] == "master":
                command(one, "CLUSTER", "SETSLOT", slot, "NODE", self.id(to))
        return moved

    def flush(self) -> None:
        """Empty all masters."""
        for one in self.running:
            if info(one)["role"] == "master":
                command(one, "FLUSHALL")


def wait_for(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Until a condition holds, which may find servers away; its value. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError):
            if value := condition():
                return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not come about within {seconds:g} s")
        time.sleep(_POLL)


def command(server: Node, *parts: Any) -> Any:
    """A node's own answer."""
    with server.client() as client:
        client.response_callbacks.clear()
        return client.execute_command(*parts)


def info(server: Node) -> dict[str, Any]:
    """What a node says of its replication."""
    with server.client() as client:
        return dict(client.info("replication"))


def _is_well(one: Node) -> bool:
    state = command(one, "CLUSTER", "INFO").decode()
    linked = info(one).get("master_link_status", "up") == "up"
    return "cluster_state:ok" in state and f"cluster_slots_ok:{SLOTS}" in state and linked


def _known(one: Node) -> list[str]:
    return [
        line
        for line in command(one, "CLUSTER", "NODES").decode().splitlines()
        if "handshake" not in line and "noaddr" not in line
    ]


def _serving(server: Node, slot: int) -> int | None:
    for first, last, master, *_ in command(server, "CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return int(master[1])
    return None


def _replicate(server: Node, master: str) -> bool:
    command(server, "CLUSTER", "REPLICATE", master)
    return True
