"""CPU and memory of the processes that `make run` started, while they are loaded."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from loadtest.bench.usage import cpu_seconds, pss_bytes, tree
from loadtest.swarm.trend import Point, settled, trend

EVERY = 5.0
_SKIPPED = ("supervisor",)
_TELLING = 300.0
"""Seconds of rest after which a slope means something."""


class Watch:
    """Looks every few seconds from `with` to its end. `run_file` is that of the run, `others` are processes to look at as
    well, by their name.
    """

    def __init__(self, run_file: Path, *, every: float = EVERY) -> None:
        self._run_file = run_file
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._began = time.monotonic()
        self.others: dict[str, int] = {}
        self.memory: dict[str, list[Point]] = {}
        self.cpu: dict[str, list[Point]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def markdown(self) -> str:
        """A table of what was seen; empty when nothing was."""
        lines = [
            "",
            "| process | of a core | MB at first | MB at last | MB an hour |",
            "|---|---|---|---|---|",
        ]
        for name, points in self.memory.items():
            at_rest = settled(points)
            memory, cpu = trend(at_rest), trend(settled(self.cpu[name]))
            slope = f"{memory.hourly:+.1f}" if _span(at_rest) >= _TELLING else "(too short)"
            lines.append(
                f"| {name} | {cpu.hourly / 3600:.2f} | {memory.first:.1f} | {memory.last:.1f} | {slope} |"
            )
        note = "Memory is PSS; the first half of the run is left out, while everybody arrives and histories fill."
        return "\n".join([*lines, "", note, ""]) if self.memory else ""

    def write(self, file: Path) -> None:
        """All that was seen, as CSV: seconds, process, bytes in MB, CPU seconds."""
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["seconds", "process", "memory_mb", "cpu_seconds"])
            for name, points in self.memory.items():
                for memory, cpu in zip(points, self.cpu[name], strict=True):
                    writer.writerow(
                        [f"{memory.at:.1f}", name, f"{memory.value:.2f}", f"{cpu.value:.2f}"]
                    )

    def _look(self) -> None:
        while True:
            self._note()
            if self._over.wait(self._every):
                return

    def _note(self) -> None:
        try:
            programs = json.loads(self._run_file.read_text("utf-8"))["pids"]
        except (OSError, ValueError, KeyError):
            return
        at = time.monotonic() - self._began
        for name, pid in {**programs, **self.others}.items():
            if name in _SKIPPED:
                continue
            pids = tree(pid)
            memory, cpu = sum(map(pss_bytes, pids)), sum(map(cpu_seconds, pids))
            if memory:  # else it has ended
                self.memory.setdefault(name, []).append(Point(at, memory / 1e6))
                self.cpu.setdefault(name, []).append(Point(at, cpu))


def _span(points: Sequence[Point]) -> float:
    return points[-1].at - points[0].at
