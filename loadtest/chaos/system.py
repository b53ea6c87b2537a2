"""Openline with gateways behind nginx on a store that can be mistreated, and a fault proxy before its front door."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from loadtest.bench.openline import Stack
from loadtest.chaos.cluster_store import Cluster
from loadtest.chaos.proxy import SteerableProxy
from loadtest.chaos.stores import PATIENCE, Sentinel, Standalone, Store

GATEWAYS = 2
DRAIN_SECONDS = 5
HISTORY = 100_000
"""Messages that a channel keeps, so that at rest the log tells what became of each."""

_LINE = 400
_TOLD = frozenset({"store_memory_exhausted"})
"""Errors that tell an operator of a fault that was made here."""

_STORES: dict[str, type[Standalone | Sentinel | Cluster]] = {
    "standalone": Standalone,
    "sentinel": Sentinel,
    "cluster": Cluster,
}


class ChaosStack(Stack):
    """With long histories; `without` names a rule that its services break."""

    def __init__(self, folder: Path, *, without: str, variables: dict[str, str]) -> None:
        super().__init__(folder, gateways=GATEWAYS, variables=variables)
        if without:
            self.runner = ("-m", "loadtest.chaos.without", without)

    def shipped(self) -> str:
        """The namespaces, whose histories are as long as a run."""
        return super().shipped().replace("history_size = 1000", f"history_size = {HISTORY}")


class Front:
    """A front door: `door` itself, and `url` as clients have it, behind the proxy `way` where there is one. `login`: id and
    secret of the back end's client. `readers` tells the plain readers a word, and `disconnect` ends some by the back end.
    """

    def __init__(
        self, door: str, url: str, way: SteerableProxy | None, login: Mapping[str, str]
    ) -> None:
        self.door, self.url, self.login = door, url, login
        self._way = way
        self.readers: Callable[[str], Awaitable[None]] = _nobody
        self.disconnect: Callable[[], Awaitable[None]] = _nobody_at_all

    @property
    def way(self) -> SteerableProxy:
        """The proxy, which whoever spoils the line of clients needs."""
        assert self._way is not None
        return self._way

    async def complaints(self) -> list[str]:
        """What services say that must not be; nothing is known of those that run elsewhere."""
        return []


class System(Front):
    """What runs here and can be mistreated in every way."""

    def __init__(self, stack: Stack, store: Store, way: SteerableProxy) -> None:
        self.stack, self.store = stack, store
        client = self.run["clients"][0]
        login = {name: client[name] for name in ("client_id", "client_secret")}
        super().__init__(str(self.run["front_door"]), f"http://127.0.0.1:{way.port}", way, login)
        self.gateways = [f"gateway-{n}" for n in range(1, GATEWAYS + 1)]

    @property
    def run(self) -> dict[str, Any]:
        """The present content of `run.json`."""
        return self.stack.read_run()

    def pid(self, name: str) -> int | None:
        """The process of a service; None while there is none."""
        try:
            found = self.run["pids"].get(name)
        except ValueError:  # it is being written
            return None
        return None if found is None else int(found)

    async def signal(self, name: str, number: signal.Signals) -> None:
        """Send a service a signal; one that is being started gets it when it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    os.kill(self.run["pids"][name], number)
                except (KeyError, ValueError, ProcessLookupError):
                    await asyncio.sleep(0.1)
                else:
                    return

    async def replaced(self, name: str, before: int | None, *, seconds: float) -> None:
        """Until a gateway has another process, which is ready; for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not await self._is_new(name, before):  # noqa: ASYNC110 - it has nothing to signal with
                    await asyncio.sleep(0.1)

    async def _is_new(self, name: str, before: int | None) -> bool:
        return self.pid(name) not in (None, before) and (await self.ready())[name]

    async def ready(self) -> dict[str, bool]:
        """Which services say that they are ready."""
        run = self.run
        urls = dict(zip(self.gateways, run["gateways"], strict=True))
        urls |= {"publisher": run["publisher"], "auth": run["auth"]}
        said = {}
        async with httpx2.AsyncClient(timeout=5) as http:
            for name, url in urls.items():
                try:
                    said[name] = (await http.get(f"{url}/readyz")).status_code == httpx2.codes.OK
                except httpx2.HTTPError:
                    said[name] = False
        return said

    async def complaints(self) -> list[str]:
        """What services say that must not be: who is not ready at rest, and faults of ours in their logs."""
        found = [
            f"{name} is not ready at rest"
            for name, ready in (await self.ready()).items()
            if not ready
        ]
        return found + [
            line for name, text in self.logs().items() for line in faults_in(name, text)
        ]

    def logs(self) -> dict[str, str]:
        """What each service has logged."""
        folder = self.stack.folder / "var" / "logs"
        return {
            path.stem: path.read_text("utf-8", errors="replace")
            for path in sorted(folder.glob("*.log"))
        }


def faults_in(name: str, text: str) -> list[str]:
    """Tracebacks and errors in a service's log. That the store's memory is used up is no fault of a service."""
    found = []
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            event = {}
        level = event.get("level") if isinstance(event, dict) else None
        refused = level in ("error", "critical") and event.get("event") not in _TOLD
        if refused or "Traceback" in line:
            found.append(f"{name}: {line[:_LINE]}")
    return found


async def _nobody(_word: str) -> None:
    """There are no readers to be told."""


async def _nobody_at_all() -> None:
    """There is nobody to disconnect."""


@contextlib.asynccontextmanager
async def running(
    folder: Path, *, store: str = "standalone", engine: str = "redis", without: str = ""
) -> AsyncIterator[System]:
    """A system in a folder of its own, ended with the block."""
    async with _STORES[store].running(engine, folder) as kept:
        variables = {
            **kept.settings,
            "OPENLINE_REDIS_URL": kept.url,
            "OPENLINE_DRAIN_SECONDS": str(DRAIN_SECONDS),
        }
        stack = ChaosStack(folder / "openline", without=without, variables=variables)
        try:
            await asyncio.to_thread(stack.start)
            door = urlsplit(stack.read_run()["front_door"]).port
            assert door is not None
            async with SteerableProxy(door) as way:
                yield System(stack, kept, way)
        finally:
            if kept.way is not None:
                kept.way.hung = False
            await asyncio.to_thread(stack.stop)
