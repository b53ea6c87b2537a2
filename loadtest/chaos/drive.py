"""One run: clients come, publish, faults happen, all settles; what is left is what clients were told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.bench.remote import ROOT
from loadtest.chaos.faults import happen
from loadtest.chaos.schedule import Fault
from loadtest.chaos.system import System, running

_ANSWER_SECONDS = 60.0
_REPORT_BYTES = 1 << 30
_HERE = Path(__file__).parent
_PACKAGE = ROOT / "clients/js/dist/index.js"


@dataclass(frozen=True, slots=True)
class Plan:
    """Who takes part: clients of each language, of whom so many publish, each about every so many milliseconds; each
    reads `each` of the channels. `settle`: seconds in which all has to come to rest afterwards.
    """

    javascript: int = 25
    python: int = 25
    publishers: int = 5
    every: int = 250
    channels: int = 3
    each: int = 3
    ttl: int = 60
    settle: float = 90.0
    direct: bool = False
    """Without the proxy before nginx."""


@dataclass(slots=True)
class Run:
    """What is left: when which fault happened, in milliseconds since 1970, and what each client reports."""

    happened: list[tuple[int, str]] = field(default_factory=list)
    clients: list[dict[str, Any]] = field(default_factory=list)
    settled: bool = False


class Crowd:
    """A process of clients. Raises RuntimeError when it ends or does not answer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *command: str, told: dict[str, Any]) -> Crowd:
        """Start it and tell it what it is to do."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'clients/python/src'}{os.pathsep}{ROOT}"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_REPORT_BYTES,
            start_new_session=True,  # Ctrl-C is for us, who end it
        )
        crowd = cls(process)
        crowd._write(json.dumps(told))
        return crowd

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def ask(self, word: str) -> dict[str, Any]:
        """Say a word; its answer."""
        assert self._process.stdout is not None
        self._write(word)
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), _ANSWER_SECONDS)
        except TimeoutError:
            raise RuntimeError(
                f"a crowd did not answer {word!r} in {_ANSWER_SECONDS:g} s"
            ) from None
        if not line:
            raise RuntimeError("a crowd has ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def end(self) -> None:
        """The end of its input ends it; what does not end is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 15)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def drive(folder: Path, plan: Plan, faults: Sequence[Fault], seconds: float) -> Run:
    """Everything, from an empty folder on. Raises RuntimeError when clients do not get online to begin with."""
    run = Run()
    async with running(folder) as system, _crowds(system, plan) as crowds:
        everybody = plan.javascript + plan.python
        await _until(lambda looks: _live(looks) == everybody, crowds, seconds=plan.settle)
        await _all(crowds, "start")
        begun = time.monotonic()
        for fault in faults:
            await asyncio.sleep(begun + fault.at - time.monotonic())
            run.happened.append((int(time.time() * 1000), fault.kind))
            say(f"{time.monotonic() - begun:6.1f} s  {fault.kind} {_detail(fault)}")
            await happen(system, fault)
        await asyncio.sleep(max(0.0, begun + seconds - time.monotonic()))
        await _all(crowds, "stop")
        with contextlib.suppress(RuntimeError):
            await _until(lambda looks: _rests(looks, everybody), crowds, seconds=plan.settle)
            run.settled = True
        for report in await _all(crowds, "report"):
            run.clients += report["clients"]
    return run


def say(text: str) -> None:
    """To whoever watches."""
    sys.stderr.write(f"chaos: {text}\n")


def _detail(fault: Fault) -> str:
    parts = [f"of gateway {fault.gateway}"] if fault.kind.startswith("gateway") else []
    hangs = fault.kind.endswith(("pause", "stall"))
    return " ".join([*parts, *([f"for {fault.lasts} s"] if hangs else [])])


@contextlib.asynccontextmanager
async def _crowds(system: System, plan: Plan) -> AsyncIterator[list[Crowd]]:
    name = os.urandom(4).hex()
    told = {
        "package": str(_PACKAGE),
        "url": system.door if plan.direct else system.url,
        "login": system.login,
        "channels": [f"room:{name}-{number}" for number in range(plan.channels)],
        "each": plan.each,
        "publishers": plan.publishers,
        "every": plan.every,
        "ttl": plan.ttl,
    }
    node = str(Path(sys.executable).with_name("node"))
    kinds = [
        ("js", plan.javascript, [node, str(_HERE / "crowd.mjs")]),
        ("python", plan.python, [sys.executable, "-m", "loadtest.chaos.crowd"]),
    ]
    crowds: list[Crowd] = []
    try:
        for language, clients, command in kinds:
            if clients:
                one = {**told, "name": language, "clients": clients}
                crowds.append(await Crowd.start(*command, told=one))
        yield crowds
    finally:
        await asyncio.gather(*(crowd.end() for crowd in crowds))


async def _all(crowds: list[Crowd], word: str) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(crowd.ask(word) for crowd in crowds)))


async def _until(condition: Any, crowds: list[Crowd], *, seconds: float) -> None:
    """Until it holds for what all crowds say, twice in a row."""
    end = time.monotonic() + seconds
    before = None
    while True:
        looks = await _all(crowds, "look")
        fits = condition(looks)
        if fits and before == looks:
            return
        before = looks if fits else None
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds:g} s: {_live(looks)} clients are live")
        await asyncio.sleep(0.5)


def _live(looks: list[dict[str, Any]]) -> int:
    return sum(look["live"] for look in looks)


def _rests(looks: list[dict[str, Any]], everybody: int) -> bool:
    """Whether all are live, nothing waits, and all who read a channel stand at one place."""
    places: dict[str, set[tuple[str, int]]] = {}
    for look in looks:
        for client in look["positions"]:
            for channel, epoch, offset in client:
                places.setdefault(channel, set()).add((epoch, offset))
    waiting = sum(look["waiting"] for look in looks)
    return _live(looks) == everybody and not waiting and all(len(p) == 1 for p in places.values())
