"""Processes that are kept running: started in order, started again when they end, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_BACKOFF = (0.3, 0.6, 1.2, 2.5, 5.0, 10.0)
_STEADY = 30.0
_OLD_LOGS = 4 * 1024 * 1024


class StartError(Exception):
    """A process did not become ready; the message is one line for the person at the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run. `ready` is awaited until it says True. The kernel sends it
    `if_we_die` when this process dies.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    ready: Callable[[], Awaitable[bool]]
    if_we_die: signal.Signals = signal.SIGKILL


class Process:
    """One kept process. `on_change` is called after each start, `announce` with lines for the terminal."""

    def __init__(
        self, program: Program, *, on_change: Callable[[], None], announce: Callable[[str], None]
    ) -> None:
        self.program = program
        self.hold = program.log.parent.parent / "hold" / program.name
        self._on_change = on_change
        self._announce = announce
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stopping = False
        self._started = 0.0
        self._failures = 0
        self._again = asyncio.Event()

    @property
    def command(self) -> Sequence[str]:
        """What it runs."""
        return self.program.command

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def start(self, timeout: float = 60) -> None:  # noqa: ASYNC109 - the message names it
        """Start it and wait until it is ready. Raises StartError when it ends or `timeout` seconds pass."""
        _rotate(self.program.log)
        try:
            await self._spawn()
        except OSError as error:
            raise StartError(f"{self.program.name} cannot be started: {error}") from None
        deadline = time.monotonic() + timeout
        while not await self.program.ready():
            if self.pid is None:
                raise StartError(f"{self.program.name} did not start: {self._last_line()}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{self.program.name} was not ready within {timeout:.0f} s: {self._last_line()}"
                )
            await asyncio.sleep(0.05)
        self._watch = asyncio.create_task(self._keep())

    def restart(self) -> None:
        """End it by SIGTERM, so that it is started again at once."""
        self._announce(f"{self.program.name} has changed; restarting it")
        self._again.set()
        self._signal(signal.SIGTERM)

    def terminate(self) -> None:
        """Ask it to end, and do not start it again."""
        self._stopping = True
        if self._watch:
            self._watch.cancel()
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a paused process would not get the first

    async def ended(self, timeout: float) -> None:  # noqa: ASYNC109 - a grace, then force
        """Wait for the end; after `timeout` seconds the whole process group is killed."""
        if self._process is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), timeout)
        self._signal(signal.SIGKILL, group=True)
        await self._process.wait()

    async def _spawn(self) -> None:
        with self.program.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.command,
                cwd=self.program.folder,
                env=dict(self.program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C is for us; we end them in order
                preexec_fn=_die_with(os.getpid(), self.program.if_we_die),
            )
        self._started = time.monotonic()
        self._on_change()

    async def _keep(self) -> None:
        while not self._stopping:
            assert self._process is not None
            code = await self._process.wait()
            # Children of a killed parent (nginx workers) would keep its port.
            self._signal(signal.SIGKILL, group=True)
            if not self._again.is_set():
                await self._back_off(code)
            if self._again.is_set():
                self._again.clear()
                self._failures = 0
            while self.hold.exists():  # noqa: ASYNC110 - a file cannot wake us
                await asyncio.sleep(0.05)
            try:
                await self._spawn()
            except OSError as error:
                self._announce(f"{self.program.name} cannot be started: {error}")

    async def _back_off(self, code: int) -> None:
        """Wait longer after each failure in a row, but no longer than until `restart`."""
        if time.monotonic() - self._started > _STEADY:
            self._failures = 0
        pause = _BACKOFF[min(self._failures, len(_BACKOFF) - 1)]
        self._failures += 1
        self._announce(f"{self.program.name} {_how(code)}; starting it again in {pause:g} s")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._again.wait(), pause)

    def _signal(self, number: signal.Signals, *, group: bool = False) -> None:
        if self._process is None or (self.pid is None and not group):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.killpg if group else os.kill)(self._process.pid, number)

    def _last_line(self) -> str:
        text = self.program.log.read_text("utf-8", "replace").strip()
        line = text.splitlines()[-1][:300] if text else "it wrote nothing"
        return f"{line} (log: {self.program.log})"


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _OLD_LOGS:
        log.replace(log.with_suffix(".log.1"))


def die_with_parent(number: signal.Signals) -> None:
    """From now on the kernel sends this process `number` when its parent dies, however it dies (Linux only)."""
    if sys.platform == "linux":
        _prctl(number)


def _die_with(parent: int, number: signal.Signals) -> Callable[[], None] | None:
    """What a child does before it becomes its program."""
    if sys.platform != "linux":
        return None

    def before_exec() -> None:
        # An ignored SIGINT would be inherited from whoever started us in the background.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _prctl(number)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


# Looked up here, not in the child: between fork and exec as little as possible should happen.
_LIBC = ctypes.CDLL(None, use_errno=True)


def _prctl(number: signal.Signals) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number))
