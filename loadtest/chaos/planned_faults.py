"""Planned work on the store, as an operator does it: it loses nothing, and no reader is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from loadtest.bench.remote import ROOT
from loadtest.chaos.acts import Act, Cost, FailedError
from loadtest.chaos.store_faults import OfReplicated, OfStandalone
from loadtest.chaos.stores import Server, Store, until

_PLANNED = Cost(heals=5, keeps=True)

_SECONDS = "30"
"""For which writers may be refused at most. It takes as long as the work does: this much only on a busy machine."""

_TRIES = 3
_UNCHANGED = "nothing has changed"
_PATIENCE = 90.0


class PlannedRestart(OfStandalone):
    """A handover: Redis is sealed, ends by SHUTDOWN, is started again with its file, and goes on as it was."""

    name = "planned-restart"
    cost = _PLANNED

    async def begin(self) -> None:
        """As `Act.begin`."""
        server = await self.chosen()
        again = asyncio.create_task(_start_again(server))
        try:
            await _hand_over(self.store, "restart", "--shutdown")
        finally:
            if server.is_running:
                again.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await again


class PlannedFailover(OfReplicated):
    """A handover: a master is sealed, a replica that has everything is promoted, and goes on as it was."""

    name = "planned-failover"
    cost = _PLANNED

    async def begin(self) -> None:
        """As `Act.begin`."""
        partitions = int(self.store.settings.get("OPENLINE_PARTITIONS", "1"))
        partition = int(self.fault.at * 100) % partitions
        await _hand_over(self.store, "failover", "--partition", str(partition))

    async def end(self) -> None:
        """As `Act.end`."""
        await self.store.whole()


async def _start_again(server: Server) -> None:
    """Start it as soon as it has ended, as whoever keeps a server running does. Raises TimeoutError."""

    async def ended() -> bool:
        return not server.is_running

    await until(ended, "a server that ends", seconds=_TRIES * _PATIENCE)
    await server.start()


async def _hand_over(store: Store, *command: str) -> None:
    """Run the tool; where it could not and has changed nothing, as in an operator's hands, again. Raises FailedError."""
    for _ in range(_TRIES):
        status, said = await _run(store, *command, "--seconds", _SECONDS)
        if status == 0:
            return
        if _UNCHANGED not in said:
            break
        await asyncio.sleep(1)
    raise FailedError(f"ended with status {status}: {said}")


async def _run(store: Store, *command: str) -> tuple[int, str]:
    """Its exit status, and all that it says in one line."""
    given = {name: text for name, text in os.environ.items() if not name.startswith("OPENLINE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.handover", *command),
        cwd=ROOT,
        env={**given, **store.settings, "OPENLINE_REDIS_URL": store.url},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for us, who end it
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode or 0, "; ".join(said.decode().splitlines())


ACTS: tuple[type[Act], ...] = (PlannedRestart, PlannedFailover)
