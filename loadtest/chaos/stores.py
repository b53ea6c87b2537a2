"""The stores that are mistreated: one server behind a proxy, or a master that Sentinels replace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import redis.asyncio
from redis.exceptions import RedisError

from deploy.local.ports import free_port
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

_SERVICE = "service"
_REPLICA = "replica"
_SENTINEL = "sentinel"
"""Users of servers that Sentinels watch; the name is the password. Nobody else gets in."""

KINDS = ("standalone", "sentinel", "cluster")


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
    """One server, which keeps its data over a restart: all of it, or after SIGKILL all but its last second. `user`: as whom
    it is asked, whose password is the same.
    """

    def __init__(
        self, engine: str, folder: Path, options: Mapping[str, object], *, user: str | None = None
    ) -> None:
        self.port = free_port()
        self._login: dict[str, Any] = {"username": user, "password": user}
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
        await self._spawn(program(self._engine), *_flags(options))

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
        client: Any = redis.asyncio.Redis(port=self.port, socket_timeout=5, **self._login)
        async with client:
            return await client.execute_command(*parts)

    def client(self) -> redis.Redis:
        """A new synchronous client; the caller closes it."""
        return redis.Redis(port=self.port, socket_timeout=5, **self._login)

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.returncode is None

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
    """What holds the messages. `way`: the proxy before it, where the services reach it through one; `settings`: what the
    services have to be told beside its URL.
    """

    kind = ""
    url = ""
    settings: ClassVar[Mapping[str, str]] = {}
    way: SteerableProxy | None = None

    async def masters(self) -> Sequence[Server]:
        """The servers that hold messages now, in an order that stays."""
        raise NotImplementedError

    async def master(self, number: int = 0) -> Server:
        """One of them."""
        masters = await self.masters()
        return masters[number % len(masters)]

    async def whole(self) -> None:
        """Until everything that belongs to it is there and knows of the others."""

    async def trim_buses(self) -> None:
        """Cut every bus down to its newest entry."""
        for server in await self.masters():
            for key in await server.command("KEYS", "ol:{*}:bus"):
                await server.command("XTRIM", key, "MAXLEN", "1")


class Replicated(Store):
    """Its masters have replicas, one of which takes over when a master is gone."""

    async def failover(self, master: Server) -> None:
        """Have a replica promoted while the master is well; until it is. Raises TimeoutError."""
        raise NotImplementedError

    async def moved_from(self, master: Server, *, seconds: float = 60) -> None:
        """Until another server is the master. Raises TimeoutError."""
        raise NotImplementedError

    async def cut_replicas(self, master: Server) -> None:
        """Have the replicas of a master hear nothing, for some seconds at least."""
        raise NotImplementedError

    async def cut_off(self, master: Server) -> None:
        """Keep a master apart from all that belongs to the store, and not from the services."""
        raise NotImplementedError

    async def rejoin(self, master: Server) -> None:
        """A former master that is there again, or within reach again, takes part; until all is whole."""
        raise NotImplementedError


class Standalone(Store):
    """One server behind a proxy."""

    kind = "standalone"

    def __init__(self, engine: str, folder: Path) -> None:
        self._server = Server(engine, folder / "redis", {})
        self._replica = Server(engine, folder / "replica", {})

    async def masters(self) -> Sequence[Server]:
        """As `Store.masters`."""
        return [self._server]

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, engine: str, folder: Path) -> AsyncIterator[Standalone]:
        """Started, and ended with the block."""
        store = cls(engine, folder)
        try:
            await store._server.start()
            async with SteerableProxy(store._server.port) as way:
                store.way = way
                store.url = f"redis://127.0.0.1:{way.port}/0"
                yield store
                way.hung = False
        finally:
            await store.detach()
            await store._server.end()

    async def attach(self) -> None:
        """Give it a replica, and wait until that has everything."""
        await self._replica.start()
        await self._replica.command("REPLICAOF", "127.0.0.1", self._server.port)
        await until(lambda: follows(self._replica), "a replica that follows")

    async def detach(self) -> None:
        """Take the replica away."""
        await self._replica.end(signal.SIGKILL)


class Sentinel(Replicated):
    """A master, two replicas and three Sentinels, who log in to it each as a user of its own."""

    kind = "sentinel"

    def __init__(self, engine: str, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        known = (_SERVICE, _REPLICA, _SENTINEL)
        users = [*(f"{name} on >{name} ~* &* +@all" for name in known), "default off"]
        options = {"user": users, "masteruser": _REPLICA, "masterauth": _REPLICA}
        self._servers = [
            Server(engine, folder / f"redis-{n}", options, user=_SERVICE) for n in range(3)
        ]
        self._sentinels: list[_Sentinel] = []
        self._master = self._servers[0]

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
            await replica.command("REPLICAOF", "127.0.0.1", self._master.port)
            await until(partial(follows, replica), "a replica that follows")
        config = (
            f"sentinel monitor {NAME} 127.0.0.1 {self._master.port} 2\n"
            f"sentinel auth-user {NAME} {_SENTINEL}\n"
            f"sentinel auth-pass {NAME} {_SENTINEL}\n"
            f"sentinel down-after-milliseconds {NAME} 3000\n"
            f"sentinel failover-timeout {NAME} 10000\n"
        )
        for number in range(3):
            sentinel = _Sentinel(self._engine, self._folder / f"sentinel-{number}", config)
            self._sentinels.append(sentinel)
            await sentinel.start()
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self._sentinels)
        self.url = f"redis+sentinel://{_SERVICE}:{_SERVICE}@{hosts}/{NAME}/0"
        await self.whole()

    async def masters(self) -> Sequence[Server]:
        """As `Store.masters`: whom the Sentinels named last."""
        return [self._master]

    async def whole(self) -> None:
        """As `Store.whole`."""
        await until(self._is_whole, "Sentinels that know of a master with two replicas", seconds=90)

    async def _is_whole(self) -> bool:
        """Whether all Sentinels name the same master, which says so too, and see both replicas follow it."""
        named = [await self._named(sentinel) for sentinel in self._sentinels]
        self._master = next(server for server in self._servers if server.port == named[0])
        for server in self._servers:
            if server is not self._master and not await follows(server, self._master.port):
                return False
        known = [_pairs(await one.command("SENTINEL", "MASTER", NAME)) for one in self._sentinels]
        told = [(one[b"num-slaves"], one[b"num-other-sentinels"], one[b"flags"]) for one in known]
        return len(set(named)) == 1 and set(told) == {(b"2", b"2", b"master")}

    async def _named(self, sentinel: Server) -> int:
        _, port = await sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)

    async def failover(self, master: Server) -> None:
        """As `Replicated.failover`. A Sentinel that could not be elected does not try again by itself."""
        for _ in range(_TRIES):
            with contextlib.suppress(RedisError, TimeoutError):
                await self._sentinels[0].command("SENTINEL", "FAILOVER", NAME)
                return await self.moved_from(master, seconds=_FAILOVER_SECONDS)
            await asyncio.sleep(1)
        raise TimeoutError(f"the Sentinels promoted nobody in {_TRIES} tries")

    async def moved_from(self, master: Server, *, seconds: float = 60) -> None:
        """As `Replicated.moved_from`: as the Sentinels say."""

        async def moved() -> bool:
            return await self._named(self._sentinels[0]) != master.port

        await until(moved, "another master", seconds=seconds)

    async def cut_replicas(self, master: Server) -> None:
        """As `Replicated.cut_replicas`: Sentinels would lead them back after some ten seconds."""
        for server in self._servers:
            if server is not master:
                await server.command("REPLICAOF", "127.0.0.1", _NOWHERE)

    async def cut_off(self, master: Server) -> None:
        """As `Replicated.cut_off`: it refuses Sentinels and replicas."""
        for user in (_SENTINEL, _REPLICA):
            await master.command("ACL", "SETUSER", user, "off")
            await master.command("CLIENT", "KILL", "USER", user)

    async def rejoin(self, master: Server) -> None:
        """As `Replicated.rejoin`."""
        for user in (_SENTINEL, _REPLICA):
            await master.command("ACL", "SETUSER", user, "on")
        for kind in ("normal", "pubsub"):  # Sentinels keep connections that were refused
            await master.command("CLIENT", "KILL", "TYPE", kind)
        await self.whole()


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


async def follows(replica: Server, port: int | None = None) -> bool:
    """Whether a server is a replica, of whoever listens on `port`, that has its master's data. Raises RedisError."""
    text = await replica.command("INFO", "replication")
    about = (
        text
        if isinstance(text, dict)
        else dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    )
    up = about.get("master_link_status") == "up"
    return up and (port is None or int(about["master_port"]) == port)


def _flags(options: Mapping[str, object]) -> list[str]:
    """As a server's command line takes them: several values of one option are given one after another."""
    found: list[str] = []
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            found += [f"--{name}", *(str(one).split(" ") if name == "user" else [str(one)])]
    return found


def _pairs(reply: Any) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return {_raw(name): _raw(value) for name, value in reply.items()}
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
