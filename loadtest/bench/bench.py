"""What every scenario is given: options, a data folder, Openline, processes for load; and what each hands back."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from loadtest.bench.openline import Stack
from loadtest.bench.remote import Remote
from loadtest.bench.tally import percentile
from loadtest.bench.targets import AbsentError, Target
from loadtest.bench.usage import Meter, cpu_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`rounds`; `scale` (0 to 1) shrinks audiences and `seconds` lengths, for trying; `only` these scenarios."""

    rounds: int = 5
    scale: float = 1.0
    seconds: float = 3.0
    only: tuple[str, ...] = ()

    def people(self, count: int) -> int:
        """An audience, shrunk."""
        return max(8, int(count * self.scale))


class Sample(NamedTuple):
    """What one target did in one round of a scenario."""

    scenario: str
    target: str
    round: int
    values: dict[str, float]


class Scenario(Protocol):
    """Something to measure. `title` says how, in one sentence for the table."""

    name: str
    title: str

    def run(self, bench: Bench) -> Iterator[Sample]:
        """All rounds, targets interleaved."""


@dataclass(slots=True)
class Bench:
    """A run of the bench."""

    options: Options
    folder: Path
    stack: Stack = field(init=False)
    absent: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stack = Stack(self.folder / "openline")

    def say(self, line: str) -> None:
        """A line for whoever waits."""
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        sys.stderr.flush()

    def present(self, make: Callable[[], Target], stack: ExitStack) -> Target | None:
        """The target, stopped when `stack` ends; None, and a line once, when it is not installed."""
        try:
            target = make()
        except AbsentError as error:
            if str(error) not in self.absent:
                self.absent[str(error)] = str(error)
                self.say(f"left out: {error}")
            return None
        stack.callback(target.stop)
        return target


class Audience:
    """A target with an audience and a feeder on it, both in processes of their own."""

    def __init__(self, target: Target, count: int, stack: ExitStack, **more: Any) -> None:
        self.target = target
        self.client = stack.enter_context(Remote("client"))
        self.feeder = stack.enter_context(Remote("feeder"))
        self.count = join(self.client, {**target.subscribe, "count": count, **more})
        self.feeder.ask("open", **target.feed)

    def anew(self, feed: Mapping[str, Any]) -> None:
        """Publish to something else from now on; numbers begin anew."""
        self.feeder.ask("close")
        self.feeder.ask("open", **feed)
        self.client.ask("reset", anew=True)

    def measure(self, do: str, *, readers: int | None = None, **drive: Any) -> dict[str, float]:
        """Let the feeder `do` its work and see it arrive at `readers` (all of the audience)."""
        readers = self.count if readers is None else readers
        self.client.ask("reset")
        own, began = cpu_seconds(self.client.pid), time.monotonic()
        meter = Meter(self.target.programs)
        driven = self.feeder.ask(do, patience=240, **drive)
        drain(self.client, driven["published"] * readers)
        cpu, elapsed = meter.cpu(), time.monotonic() - began
        report = self.client.ask("report")
        received = max(1, report["received"])
        values = {
            "cpu_us": sum(cpu.values()) / received * 1e6,
            "core": sum(cpu.values()) / elapsed,
            "rate": received / max(1e-6, (report["last"] - report["first"]) / 1e6),
            "p50_ms": percentile(report["steps"], 0.5),
            "p99_ms": percentile(report["steps"], 0.99),
            "max_ms": percentile(report["steps"], 1.0),
            "arrived": report["received"] / max(1, driven["published"] * readers),
            "gaps": report["gaps"],
            "reorders": report["reorders"],
            "lost": report["lost"],
            "late_ms": driven.get("late_ms", 0.0),
            "client_core": (cpu_seconds(self.client.pid) - own) / elapsed,
            "published": driven["published"],
        }
        return values | {f"cpu_us {name}": used / received * 1e6 for name, used in cpu.items()}


def join(client: Remote, command: dict[str, Any]) -> int:
    """Open connections; how many. Raises RuntimeError when one could not be opened."""
    answer = client.ask("open", **command)
    if answer["failed"]:
        raise RuntimeError(f"connections that failed: {answer['failed']}")
    return int(answer["joined"])


def drain(client: Remote, expected: int, *, patience: float = 8.0) -> int:
    """Wait until `expected` messages came, or none came for `patience` seconds; how many came."""
    received, moved = -1, time.monotonic()
    while received < expected:
        now = client.ask("progress")["received"]
        if now != received:
            received, moved = now, time.monotonic()
        elif time.monotonic() - moved > patience:
            break
        time.sleep(0.02)
    return received


def settle(seconds: float = 1.0) -> None:
    """Let joins, counts and closing connections come to rest before a measurement begins."""
    time.sleep(seconds)


def busy() -> float:
    """The machine's load average over the last minute."""
    return os.getloadavg()[0]
