"""The stores that are mistreated: one server behind a proxy, or a master that Sentinels replace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from deploy.local.processes import die_with_parent
from deploy.local.programs import valkey
from loadtest.chaos.proxy import SteerableProxy

PATIENCE = 30.0
NAME = "openline"
_POLL = 0.05
_TRIES = 4
_FAILOVER_SECONDS = 20.0
_NOWHERE = 1
"""A port on which nobody listens."""

KINDS = ("standalone", "sentinel")


def program(engine: str) -> str:
    """Path of the server: `redis`, `valkey` (the one of the lock file) or a path. Raises FileNotFoundError."""
    if engine == "valkey":
        return valkey()
    found = shutil.which("redis-server" if engine == "redis" else engine)
    if found is None:
        raise FileNotFoundError(
            f"{engine} is not installed: give --engine valkey, or a server's path (Debian: redis-server)"
        )
    return found


class Server:
    """One server, which keeps its data over a restart: all of it, or after SIGKILL all but its last second."""

    def __init__(self, engine: str, folder: Path, options: Mapping[str, object]) -> None:
        self.port = _free_port()
        self._engine = engine
        self._folder = folder
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it has read its data. Raises FileNotFoundError, TimeoutError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync-delay": 0,
            "logfile": "server.log",
            **self._options,
        }
        flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        await self._spawn(program(self._engine), *flags)

    async def _spawn(self, *command: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGKILL),
        )
        await until(self._answers, "a server that answers")

    async def _answers(self) -> bool:
        return bool(await self.command("PING"))

    async def command(self, *parts: Any) -> Any:
        """Ask it. Raises RedisError."""
        client: Any = redis.asyncio.Redis(port=self.port, socket_timeout=5)
        async with client:
            return await client.execute_command(*parts)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it is gone."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)  # a paused one would not get the first
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def restart(self, number: signal.Signals, *, emptied: bool = False) -> None:
        """End it by a signal and start it again, without its data if `emptied`."""
        await self.end(number)
        if emptied:
            shutil.rmtree(self._folder)
        await self.start()


class _Sentinel(Server):
    """A server of another kind, which learns and writes its own file."""

    def __init__(self, engine: str, folder: Path, config: str) -> None:
        super().__init__(engine, folder, {})
        folder.mkdir(parents=True)
        self._file = folder / "sentinel.conf"
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/sentinel.log\n{config}",
            "utf-8",
        )

    async def start(self) -> None:
        await self._spawn(program(self._engine), str(self._file), "--sentinel")


class Store:
    """What holds the messages. `way`: the proxy before it, where the services reach it through one."""

    kind = ""
    url = ""
    way: SteerableProxy | None = None
    master: Server

    async def command(self, *parts: Any) -> Any:
        """Ask the master. Raises RedisError."""
        return await self.master.command(*parts)

    async def keys(self, pattern: str) -> Sequence[bytes]:
        """The keys of the master that fit."""
        found: Sequence[bytes] = await self.command("KEYS", pattern)
        return found

    async def whole(self) -> None:
        """Until everything that belongs to it is there and knows of the others."""


class Standalone(Store):
    """One server behind a proxy."""

    kind = "standalone"

    def __init__(self, engine: str, folder: Path) -> None:
        self.master = Server(engine, folder / "redis", {})
        self._replica = Server(engine, folder / "replica", {})

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, engine: str, folder: Path) -> AsyncIterator[Standalone]:
        """Started, and ended with the block."""
        store = cls(engine, folder)
        try:
            await store.master.start()
            async with SteerableProxy(store.master.port) as way:
                store.way = way
                store.url = f"redis://127.0.0.1:{way.port}/0"
                yield store
                way.hung = False
        finally:
            await store.detach()
            await store.master.end()

    async def attach(self) -> None:
        """Give it a replica, and wait until that has everything."""
        await self._replica.start()
        await self._replica.command("REPLICAOF", "127.0.0.1", self.master.port)
        await until(lambda: _follows(self._replica), "a replica that follows")

    async def detach(self) -> None:
        """Take the replica away."""
        await self._replica.end(signal.SIGKILL)


class Sentinel(Store):
    """A master, two replicas and three Sentinels. `master` is whom they named last."""

    kind = "sentinel"

    def __init__(self, engine: str, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self._servers = [Server(engine, folder / f"redis-{n}", {}) for n in range(3)]
        self._sentinels: list[_Sentinel] = []
        self.master = self._servers[0]

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, engine: str, folder: Path) -> AsyncIterator[Sentinel]:
        """Started, and ended with the block."""
        store = cls(engine, folder)
        try:
            await store._start()
            yield store
        finally:
            for server in [*store._sentinels, *store._servers]:
                await server.end(signal.SIGKILL)

    async def _start(self) -> None:
        for server in self._servers:
            await server.start()
        for replica in self._servers[1:]:
            await replica.command("REPLICAOF", "127.0.0.1", self.master.port)
            await until(partial(_follows, replica), "a replica that follows")
        config = (
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} 2\n"
            f"sentinel down-after-milliseconds {NAME} 3000\n"
            f"sentinel failover-timeout {NAME} 10000\n"
        )
        for number in range(3):
            sentinel = _Sentinel(self._engine, self._folder / f"sentinel-{number}", config)
            self._sentinels.append(sentinel)
            await sentinel.start()
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self._sentinels)
        self.url = f"redis+sentinel://{hosts}/{NAME}/0"
        await self.whole()

    async def whole(self) -> None:
        """As `Store.whole`."""
        await until(self._is_whole, "Sentinels that know of a master with two replicas", seconds=90)

    async def _is_whole(self) -> bool:
        """Whether all Sentinels name the same master, which says so too, and see both replicas follow it."""
        named = [await self._named(sentinel) for sentinel in self._sentinels]
        self.master = next(server for server in self._servers if server.port == named[0])
        for server in self._servers:
            if server is not self.master and not await _follows(server, self.master.port):
                return False
        known = [_pairs(await one.command("SENTINEL", "MASTER", NAME)) for one in self._sentinels]
        told = [(one[b"num-slaves"], one[b"num-other-sentinels"], one[b"flags"]) for one in known]
        return len(set(named)) == 1 and set(told) == {(b"2", b"2", b"master")}

    async def _named(self, sentinel: Server) -> int:
        _, port = await sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)

    async def failover(self) -> None:
        """Have another server promoted; until it is. A Sentinel that could not be elected does not try again by itself."""
        before = self.master
        for _ in range(_TRIES):
            with contextlib.suppress(RedisError, TimeoutError):
                await self._sentinels[0].command("SENTINEL", "FAILOVER", NAME)
                return await self.moved_from(before, seconds=_FAILOVER_SECONDS)
            await asyncio.sleep(1)
        raise TimeoutError(f"the Sentinels promoted nobody in {_TRIES} tries")

    async def moved_from(self, before: Server, *, seconds: float = 60) -> None:
        """Until another server is named the master."""

        async def moved() -> bool:
            return await self._named(self._sentinels[0]) != before.port

        await until(moved, "another master", seconds=seconds)

    async def cut_replicas(self) -> None:
        """Have the replicas hear nothing: Sentinel would lead them back after some ten seconds."""
        for server in self._servers:
            if server is not self.master:
                await server.command("REPLICAOF", "127.0.0.1", _NOWHERE)


async def until(condition: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> None:
    """Until it holds; servers that are away count as no. Raises TimeoutError, which names it."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(RedisError, OSError):
                    if await condition():
                        return
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise TimeoutError(f"{what} did not come about within {seconds:g} s") from None


async def _follows(replica: Server, port: int | None = None) -> bool:
    text = await replica.command("INFO", "replication")
    about = (
        text
        if isinstance(text, dict)
        else dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    )
    up = about.get("master_link_status") == "up"
    return up and (port is None or int(about["master_port"]) == port)


def _pairs(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return {_raw(name): _raw(value) for name, value in reply.items()}
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
