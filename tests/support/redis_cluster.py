"""A real cluster of Redis or Valkey: three masters, with replicas or without, on ports of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import redis
from redis.crc import key_slot

from tests.support.ports import free_port
from tests.support.redis_server import Flavour, RedisServer, start_redis
from tests.support.sentinel_group import until

SLOTS = 16384


class RedisCluster:
    """`masters` nodes that share the slots evenly, each with so many `replicas`; `node_timeout` in milliseconds."""

    def __init__(
        self,
        folder: Path,
        *,
        flavour: Flavour = "redis",
        masters: int = 3,
        replicas: int = 0,
        node_timeout: int = 2000,
        server: tuple[str, ...] = (),
    ) -> None:
        self.servers: list[RedisServer] = []
        self._buses: list[int] = []
        options = {
            "enabled": "yes",
            "require-full-coverage": "no",
            "node-timeout": str(node_timeout),
            "allow-replica-migration": "no",
        }
        flags = [part for name, value in options.items() for part in (f"--cluster-{name}", value)]
        flags += ["--appendonly", "yes", "--repl-diskless-sync-delay", "0", *server]
        try:
            for _ in range(masters * (1 + replicas)):
                self._buses.append(free_port())
                bus = ("--cluster-port", str(self._buses[-1]))
                self.servers.append(start_redis(folder, *flags, *bus, flavour=flavour))
            self._ids: dict[int, str] = {
                one.port: command(one, "CLUSTER", "MYID").decode() for one in self.servers
            }
            self._begin(masters)
        except BaseException:
            self.stop()
            raise

    def _begin(self, masters: int) -> None:
        first, *others = self.servers
        for place, one in enumerate(self.servers[:masters]):
            ends = (SLOTS * place // masters, SLOTS * (place + 1) // masters - 1)
            command(one, "CLUSTER", "ADDSLOTSRANGE", *ends)
            command(one, "CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        for one in others:
            command(one, "CLUSTER", "MEET", "127.0.0.1", first.port, self._buses[0])
        until(lambda: all(len(self._known(one)) == len(self.servers) for one in self.servers))
        for place, one in enumerate(self.servers[masters:]):
            master = self.servers[place % masters]
            until(lambda one=one, master=master: _replicate(one, self._ids[master.port]))
        self.wait_whole()

    def wait_whole(self) -> None:
        """Until every node that runs sees all slots served, and every replica follows its master."""
        until(lambda: all(self._is_well(one) for one in self.running))

    def _is_well(self, one: RedisServer) -> bool:
        state = command(one, "CLUSTER", "INFO").decode()
        replication = info(one)
        linked = replication.get("master_link_status", "up") == "up"
        return "cluster_state:ok" in state and f"cluster_slots_ok:{SLOTS}" in state and linked

    def _known(self, one: RedisServer) -> list[str]:
        return [
            line
            for line in command(one, "CLUSTER", "NODES").decode().splitlines()
            if "handshake" not in line and "noaddr" not in line
        ]

    @property
    def running(self) -> list[RedisServer]:
        """The nodes whose processes run."""
        return [one for one in self.servers if one.process.poll() is None]

    @property
    def url(self) -> str:
        """The URL by which the masters are found."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{one.port}' for one in self.servers)}"

    def id(self, server: RedisServer) -> str:
        """The name that a node has in the cluster."""
        return self._ids[server.port]

    def master(self, key: str = "{p0}") -> RedisServer:
        """The node that serves a key now, as most nodes that run say."""
        slot = key_slot(key.encode())
        votes = [found for one in self.running if (found := _serving(one, slot))]
        port = max(set(votes), key=votes.count)
        return next(one for one in self.servers if one.port == port)

    def replica(self, key: str = "{p0}") -> RedisServer:
        """A replica of the node that serves a key."""
        port = self.master(key).port
        return next(
            one
            for one in self.running
            if info(one)["role"] == "slave" and info(one)["master_port"] == port
        )

    def another_master(self, key: str = "{p0}") -> RedisServer:
        """A master that does not serve a key."""
        present = self.master(key)
        return next(
            one for one in self.running if one is not present and info(one)["role"] == "master"
        )

    def client(self, key: str = "{p0}") -> redis.Redis:
        """A new synchronous client of the node that serves a key; the caller closes it."""
        return self.master(key).client()

    def move(self, key: str, to: RedisServer, *, pause: Any = None) -> int:
        """Move a key's slot to another master key by key, as redis-cli does; how many keys it held.

        `pause` is called when half of the keys have moved.
        """
        slot, source = key_slot(key.encode()), self.master(key)
        command(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id(source))
        command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id(to))
        moved, half = 0, command(source, "CLUSTER", "COUNTKEYSINSLOT", slot) // 2
        while names := command(source, "CLUSTER", "GETKEYSINSLOT", slot, 100):
            command(source, "MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "REPLACE", "KEYS", *names)
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

    def stop(self) -> None:
        """Kill all processes."""
        for server in self.servers:
            server.stop(kill=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def command(server: RedisServer, *parts: Any) -> Any:
    """A node's own answer."""
    with server.client() as client:
        client.response_callbacks.clear()
        return client.execute_command(*parts)


def info(server: RedisServer) -> dict[str, Any]:
    """What a node says of its replication."""
    with server.client() as client:
        return dict(client.info("replication"))


def _serving(server: RedisServer, slot: int) -> int | None:
    for first, last, master, *_ in command(server, "CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return int(master[1])
    return None


def _replicate(server: RedisServer, master: str) -> bool:
    command(server, "CLUSTER", "REPLICATE", master)
    return True
