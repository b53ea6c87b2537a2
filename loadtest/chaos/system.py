"""Openline with two gateways behind nginx, with fault proxies before its Redis and before its front door."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.local.processes import die_with_parent
from loadtest.bench.openline import Stack
from loadtest.chaos.proxy import SteerableProxy

GATEWAYS = 2
DRAIN_SECONDS = 5
_PATIENCE = 30.0


class Redis:
    """A Redis server that keeps its data over a restart: all of it, or after SIGKILL all but its last second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = _free_port()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens. Raises FileNotFoundError where none is installed, TimeoutError."""
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise FileNotFoundError("redis-server is not installed (Debian: redis-server)")
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "logfile": "redis.log",
        }
        flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        self._process = await asyncio.create_subprocess_exec(
            program,
            *flags,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, signal.SIGKILL),
        )
        async with asyncio.timeout(_PATIENCE):
            while not await self._answers():  # noqa: ASYNC110 - it has nothing to signal with
                await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return (await reader.readline()).startswith(
                b"+PONG"
            )  # an error while it reads its file
        except OSError:
            return False
        finally:
            writer.close()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            try:
                await asyncio.wait_for(self._process.wait(), _PATIENCE)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


class System:
    """What is mistreated. `url` is the front door as clients have it, behind a proxy; `door` is nginx itself."""

    def __init__(
        self, stack: Stack, redis: Redis, redis_way: SteerableProxy, way: SteerableProxy
    ) -> None:
        self.stack, self.redis, self.redis_way, self.way = stack, redis, redis_way, way
        self.door = str(self.run["front_door"])
        self.url = f"http://127.0.0.1:{way.port}"

    @property
    def run(self) -> dict[str, Any]:
        """The present content of `run.json`."""
        return self.stack.read_run()

    @property
    def login(self) -> dict[str, str]:
        """Id and secret of the back end's client."""
        client = self.run["clients"][0]
        return {name: client[name] for name in ("client_id", "client_secret")}

    async def signal(self, name: str, number: signal.Signals) -> None:
        """Send a service a signal; one that is being started gets it when it is there."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    os.kill(self.run["pids"][name], number)
                except (KeyError, ValueError, ProcessLookupError):
                    await asyncio.sleep(0.1)
                else:
                    return


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[System]:
    """A system in a folder of its own, ended with the block."""
    redis = Redis(folder / "redis")
    await redis.start()
    try:
        async with SteerableProxy(redis.port) as redis_way:
            variables = {
                "OPENLINE_REDIS_URL": f"redis://127.0.0.1:{redis_way.port}/0",
                "OPENLINE_DRAIN_SECONDS": str(DRAIN_SECONDS),
            }
            stack = Stack(folder / "openline", gateways=GATEWAYS, variables=variables)
            try:
                await asyncio.to_thread(stack.start)
                door = urlsplit(stack.read_run()["front_door"]).port
                assert door is not None
                async with SteerableProxy(door) as way:
                    yield System(stack, redis, redis_way, way)
            finally:
                redis_way.hung = False
                await asyncio.to_thread(stack.stop)
    finally:
        await redis.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
