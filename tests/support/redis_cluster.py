"""A real cluster of Redis or Valkey: three masters, with replicas or without, on ports of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from deploy.local.ports import free_port
from loadtest.chaos.cluster_nodes import SLOTS, ClusterNodes, command, info, node_options
from tests.support.redis_server import Flavour, RedisServer, start_redis

__all__ = ["SLOTS", "RedisCluster", "command", "info"]


class RedisCluster(ClusterNodes[RedisServer]):
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
        servers: list[RedisServer] = []
        buses: list[int] = []
        super().__init__(servers, buses)
        options = node_options(node_timeout)
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        flags += ["--appendonly", "yes", "--repl-diskless-sync-delay", "0", *server]
        try:
            for _ in range(masters * (1 + replicas)):
                buses.append(free_port())
                bus = ("--cluster-port", str(buses[-1]))
                servers.append(start_redis(folder, *flags, *bus, flavour=flavour))
            self.join(masters)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill all processes."""
        for server in self.servers:
            server.stop(kill=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
