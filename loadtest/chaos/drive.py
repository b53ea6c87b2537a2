"""One run: clients come, publish, faults happen, all settles; what is left is what clients were told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from loadtest.bench.remote import ROOT
from loadtest.chaos.acts import FailedError, now
from loadtest.chaos.faults import made
from loadtest.chaos.rest import Api
from loadtest.chaos.schedule import Fault
from loadtest.chaos.system import Front

SETTLE = 90.0
"""Seconds in which all has to come to rest."""

_ANSWER_SECONDS = 60.0
_LAST_ANSWERS = 0.5
"""Seconds in which what was published last is answered, where nothing holds it up."""

_GATHERINGS = 2
"""How often all must come to rest, while an epoch begins between that and what the logs say."""

_REPORT_BYTES = 1 << 30
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Plan:
    """Who takes part: clients of each language and plain ones, of whom so many publish, each about every so many
    milliseconds; each reads `each` of the channels. `settle`: seconds in which all has to come to rest afterwards.
    """

    javascript: int = 25
    python: int = 25
    raw: int = 12
    publishers: int = 5
    every: int = 250
    channels: int = 3
    each: int = 3
    ttl: int = 60
    settle: float = SETTLE
    direct: bool = False
    """Without the proxy before nginx."""
    package: Path = ROOT / "clients/js/dist/index.js"
    """The JavaScript package, as built or bundled."""
    rests: bool = False
    """Publishers stop while each fault lasts, and all comes to rest after it: what only the next message would bring to
    light must be right without one.
    """


@dataclass(slots=True)
class Happened:
    """A fault that happened: from when to when, in milliseconds since 1970, and when it could do no more harm, where that
    is before its end.
    """

    kind: str
    target: str
    begun: int
    ended: int = 0
    over: int = 0


@dataclass(slots=True)
class Run:
    """What is left: which faults happened, what each client reports, and what was found at rest: `rest` as `histories.read`
    takes it, `services` what their logs and probes have that must not be. `begun` and `ended` in milliseconds since 1970.
    """

    begun: int = 0
    ended: int = 0
    happened: list[Happened] = field(default_factory=list)
    clients: list[dict[str, Any]] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
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
        answer: dict[str, Any] = msgspec.json.decode(line)
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


async def drive(
    system: Front,
    plan: Plan,
    faults: Sequence[Fault],
    seconds: float,
    *,
    passes: Callable[[Run], bool] = lambda _: True,
) -> Run:
    """Everything, on a system that has no load yet. `passes` judges what is left at each of `plan.rests`: the first that
    does not ends the run. Raises RuntimeError when clients do not get online to begin with.
    """
    names = [f"room:{os.urandom(4).hex()}-{number}" for number in range(plan.channels)]
    async with _crowds(system, plan, names) as crowds:
        scene = _Scene(system, plan, names, crowds)
        _connect_acts(system, crowds[-1] if plan.raw else None, plan)
        await scene.come()
        await scene.begin()
        if await scene.mistreat(faults, seconds, passes):
            await scene.rest()
    scene.run.services += await system.complaints()
    return scene.run


class _Scene:
    """A system, who is there, and what happens."""

    def __init__(
        self, system: Front, plan: Plan, names: Sequence[str], crowds: list[Crowd]
    ) -> None:
        self.run = Run()
        self._system = system
        self._plan = plan
        self._names = names
        self._crowds = crowds
        self._everybody = plan.javascript + plan.python + plan.raw
        self._begun = 0.0
        self._present: dict[str, list[str]] = {}

    async def come(self) -> None:
        """Until everybody is there. Raises RuntimeError."""
        await _until(lambda looks: _live(looks) == self._everybody, self._crowds, seconds=SETTLE)
        self._present = _present(await self._reports(), self._names)

    async def begin(self) -> None:
        """Let everybody publish."""
        await _all(self._crowds, "start")
        self.run.begun = now()
        self._begun = time.monotonic()

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    async def mistreat(
        self, faults: Sequence[Fault], seconds: float, passes: Callable[[Run], bool]
    ) -> bool:
        """One fault after another, and then calm. False as soon as something is found.

        What took longer puts off all that follows: each fault has its time, and the end its calm.
        """
        late = 0.0
        for fault in faults:
            late = max(late, self._elapsed - fault.at)
            await asyncio.sleep(fault.at + late - self._elapsed)
            await self._happen(fault)
            if self._plan.rests:
                await self.rest()
                if not passes(self.run):
                    say(f"{self._elapsed:6.1f} s  found")
                    return False
                if self._elapsed > seconds:
                    return True
                await _all(self._crowds, "start")
        await asyncio.sleep(max(0.0, seconds + late - self._elapsed))
        return True

    async def _happen(self, fault: Fault) -> None:
        happened = Happened(fault.kind, fault.target, now())
        self.run.happened.append(happened)
        lasts = f" for {fault.lasts:g} s" if fault.lasts else ""
        target = f" of {fault.target}" if fault.target else ""
        say(f"{self._elapsed:6.1f} s  {fault.kind}{target}{lasts}")
        act = made(self._system, fault)
        try:
            try:
                await act.begin()
                await asyncio.sleep(fault.lasts)
                if self._plan.rests:
                    await _all(self._crowds, "stop")
                    await asyncio.sleep(_LAST_ANSWERS)
            finally:
                await act.end()
        except (FailedError, TimeoutError) as error:
            self.run.services.append(f"{fault.kind} {error}")
        happened.ended = now()
        happened.over = act.over

    async def rest(self) -> None:
        """Nobody publishes any more, all settles, and what is left is gathered."""
        await _all(self._crowds, "stop")
        heads: dict[str, str] = {}
        for _ in range(_GATHERINGS):
            await self._settle(heads)
            async with Api(self._system.door, self._system.login) as api:
                self.run.rest = await api.rest(self._names, self._present)
            heads = {channel: epoch for channel, (epoch, _) in self.run.rest["logs"].items()}
            if _stand_in(await _all(self._crowds, "look"), heads):
                break
        # Last: for the seconds that it takes to read them the proxies in this process carry nothing, and the nodes of a
        # cluster, which then take each other for dead, have replicas take over.
        self.run.clients = await self._reports()

    async def _reports(self) -> list[dict[str, Any]]:
        return [one for report in await _all(self._crowds, "report") for one in report["clients"]]

    async def _settle(self, heads: Mapping[str, str]) -> None:
        """Wait until all are at rest, and stand in the epochs of `heads`."""
        self.run.settled = False
        with contextlib.suppress(RuntimeError):
            await _until(
                lambda looks: _rests(looks, self._everybody) and _stand_in(looks, heads),
                self._crowds,
                seconds=self._plan.settle,
            )
            self.run.settled = True
        self.run.ended = now()


def say(text: str) -> None:
    """To whoever watches."""
    sys.stderr.write(f"chaos: {text}\n")


def _connect_acts(system: Front, raw: Crowd | None, plan: Plan) -> None:
    """Give the faults that clients have their hands in what they need."""
    if raw is None:
        return

    async def readers(word: str) -> None:
        await raw.ask(word)

    async def disconnect() -> None:
        async with Api(system.door, system.login) as api:
            for number, kind in enumerate(("native", "msgpack", "room")[: plan.raw]):
                await api.disconnect(f"{kind}-{number}")

    system.readers, system.disconnect = readers, disconnect


def _present(clients: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, list[str]]:
    """Who is in each channel at rest: all who read it."""
    return {
        name: sorted(client["name"] for client in clients if name in client["channels"])
        for name in names
    }


@contextlib.asynccontextmanager
async def _crowds(system: Front, plan: Plan, names: Sequence[str]) -> AsyncIterator[list[Crowd]]:
    told = {
        "package": str(plan.package),
        "url": system.door if plan.direct else system.url,
        "login": system.login,
        "channels": names,
        "each": plan.each,
        "publishers": plan.publishers,
        "every": plan.every,
        "ttl": plan.ttl,
    }
    node = str(Path(sys.executable).with_name("node"))
    kinds = [
        ("js", plan.javascript, [node, str(_HERE / "crowd.mjs")]),
        ("python", plan.python, [sys.executable, "-m", "loadtest.chaos.crowd"]),
        ("raw", plan.raw, [sys.executable, "-m", "loadtest.chaos.raw"]),
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


async def _until(
    condition: Callable[[list[dict[str, Any]]], bool], crowds: list[Crowd], *, seconds: float
) -> None:
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


def _stand_in(looks: list[dict[str, Any]], heads: Mapping[str, str]) -> bool:
    """Whether all who read a channel stand in its epoch. A busy machine may have its store fail over by itself, also
    between what clients were told and what the logs say.
    """
    return all(
        epoch == heads.get(channel, epoch)
        for look in looks
        for client in look["positions"]
        for channel, epoch, _ in client
    )


def _rests(looks: list[dict[str, Any]], everybody: int) -> bool:
    """Whether all are live, nothing waits, and all who read a channel stand at one place."""
    places: dict[str, set[tuple[str, int]]] = {}
    for look in looks:
        for client in look["positions"]:
            for channel, epoch, offset in client:
                places.setdefault(channel, set()).add((epoch, offset))
    waiting = sum(look["waiting"] for look in looks)
    return _live(looks) == everybody and not waiting and all(len(p) == 1 for p in places.values())
