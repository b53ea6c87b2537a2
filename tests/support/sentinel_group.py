"""A real master with replicas and the Sentinels that watch them, on ports of their own."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import redis

from deploy.local.ports import free_port
from tests.support.redis_server import Flavour, RedisServer, binary, start_redis
from tests.support.tied import tied

NAME = "openline"


def until(condition: Callable[[], Any], seconds: float = 75.0) -> Any:
    """Wait for a condition, which may find servers away; its value."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(redis.RedisError):
            if value := condition():
                return value
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


class SentinelServer:
    """One Sentinel. `port` stays the same over `restart`, and so does what it has learnt."""

    def __init__(self, folder: Path, config: str, *, flavour: Flavour) -> None:
        self.folder = folder
        self.port = free_port()
        self._flavour = flavour
        folder.mkdir(parents=True)
        self._file = folder / "sentinel.conf"
        self._file.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n{config}")
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Start the process; done when it answers."""
        with (self.folder / "sentinel.log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary(self._flavour), str(self._file), "--sentinel"],
                stdout=log,
                stderr=log,
                preexec_fn=tied,
            )
        until(self._answers, 60)

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
                return True

    def client(self, **options: Any) -> redis.Redis:
        """A new synchronous client; the caller closes it."""
        return redis.Redis(port=self.port, socket_timeout=30, **options)

    def stop(self) -> None:
        """SIGKILL; harmless when it ended already."""
        self.process.kill()
        self.process.wait(10)


class SentinelGroup:
    """A master, replicas and Sentinels that agree on them.

    `server` are further options of each server; `down_after` in milliseconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        flavour: Flavour = "redis",
        replicas: int = 2,
        sentinels: int = 3,
        down_after: int = 3000,
        server: tuple[str, ...] = (),
    ) -> None:
        self.sentinels: list[SentinelServer] = []
        self.servers: list[RedisServer] = []
        options = ("--repl-diskless-sync-delay", "0", "--appendonly", "yes", *server)
        try:
            for _ in range(1 + replicas):
                self.servers.append(start_redis(folder, *options, flavour=flavour))
            for replica in self.servers[1:]:
                _command(replica, "REPLICAOF", "127.0.0.1", self.servers[0].port)
            for one in self.servers[1:]:
                until(lambda one=one: _info(one)["master_link_status"] == "up")
            config = (
                f"sentinel monitor {NAME} 127.0.0.1 {self.servers[0].port} 2\n"
                f"sentinel down-after-milliseconds {NAME} {down_after}\n"
                f"sentinel failover-timeout {NAME} 10000\n"
            )
            for number in range(sentinels):
                self.sentinels.append(
                    SentinelServer(folder / f"sentinel-{number}", config, flavour=flavour)
                )
            self.wait_whole()
        except BaseException:
            self.stop()
            raise

    def wait_whole(self) -> None:
        """Wait until each Sentinel knows the others and all replicas: before, nobody can be promoted."""
        for one in self.sentinels:
            until(lambda one=one: self._knows_all(one))

    def _knows_all(self, one: SentinelServer) -> bool:
        with one.client() as client:
            known = client.sentinel_master(NAME)
            replicas = client.sentinel_slaves(NAME)
            return (
                known["num-other-sentinels"] == len(self.sentinels) - 1
                and len(replicas) == len(self.servers) - 1
                and all(replica["slave-priority"] for replica in replicas)
                and all(replica["master-link-status"] == "ok" for replica in replicas)
            )

    @property
    def hosts(self) -> str:
        """The Sentinels' addresses as a URL has them."""
        return ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)

    @property
    def url(self) -> str:
        """The URL by which the master is found."""
        return f"redis+sentinel://{self.hosts}/{NAME}/0"

    def master(self) -> RedisServer:
        """The server that the Sentinels name now."""
        with self.sentinels[0].client() as client:
            _, port = client.sentinel_get_master_addr_by_name(NAME)
        return next(server for server in self.servers if server.port == port)

    def client(self) -> redis.Redis:
        """A new synchronous client of the master; the caller closes it."""
        return self.master().client()

    def roles(self, replica: RedisServer) -> list[str]:
        """What each Sentinel takes a replica for, "master" or "slave"."""
        found = []
        for one in self.sentinels:
            with one.client() as client:
                known = client.sentinel_slaves(NAME)
            found += [each["role-reported"] for each in known if each["port"] == replica.port]
        return found

    def mistake(self, replica: RedisServer) -> None:
        """Have every Sentinel take a replica for a master that is one no longer; done when it is in step again."""
        with self.master().client() as master, replica.client() as client:
            client.replicaof("NO", "ONE")
            until(lambda: set(self.roles(replica)) == {"master"})
            client.replicaof("127.0.0.1", self.master().port)
            until(lambda: master.info("replication").get("slave0", {}).get("state") == "online")

    def elections_lost(self) -> int:
        """Elections in which no Sentinel got a majority; the next one is 20 s later, twice the time for a failover."""
        return self.said("-failover-abort-not-elected")

    def said(self, text: str) -> int:
        """How often the Sentinels' logs say it."""
        logs = [(one.folder / "sentinel.log").read_text("utf-8") for one in self.sentinels]
        return sum(log.count(text) for log in logs)

    def failover(self) -> None:
        """Have another server promoted, the present master being well; done when it was ordered."""
        with self.sentinels[0].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", NAME)

    def stop(self) -> None:
        """Kill all processes."""
        for sentinel in self.sentinels:
            sentinel.stop()
        for server in self.servers:
            server.stop(kill=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _command(server: RedisServer, *parts: Any) -> None:
    with server.client() as client:
        client.execute_command(*parts)


def _info(server: RedisServer) -> dict[str, Any]:
    with server.client() as client:
        return dict(client.info("replication"))
