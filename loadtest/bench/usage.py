"""What processes have used, by the operating system's accounting: CPU time and memory. Linux only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_USER_TIME = 11
"""Place of utime after the name in /proc/PID/stat; stime follows it (proc(5), fields 14 and 15)."""

_IDLE = slice(3, 5)
"""idle and iowait in the first line of /proc/stat."""

_GUEST = 8
"""What follows there is part of what came before; what was stolen is work that others had done meanwhile."""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds; 0 when it has ended.

    By its CPU clock, to the nanosecond (clock_getcpuclockid(3) spells its number so), else by /proc/PID/stat, which
    counts in hundredths of a second.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return stat_seconds(pid)


def stat_seconds(pid: int) -> float:
    """The same from /proc/PID/stat."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[_USER_TIME]) + int(fields[_USER_TIME + 1])) / _TICKS


def busy_seconds(text: str | None = None) -> float:
    """Seconds in which the machine's cores did anything since it started, summed up; from /proc/stat (proc(5)) or its text."""
    text = Path("/proc/stat").read_text("utf-8") if text is None else text
    fields = [int(field) for field in text.split("\n", 1)[0].split()[1:]]
    return (sum(fields[:_GUEST]) - sum(fields[_IDLE])) / _TICKS


def pss_bytes(pid: int) -> int:
    """Proportional set size: private pages and a fair share of the shared ones; 0 when the process has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def tree(pid: int) -> list[int]:
    """The process and its descendants that are alive."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("utf-8").split():
                found += tree(int(child))
    except OSError:
        pass
    return found


class Meter:
    """CPU seconds and memory of named programs, each with its children."""

    def __init__(self, programs: Mapping[str, int]) -> None:
        self._pids = {name: tree(pid) for name, pid in programs.items()}
        self._before = self._now()

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU each program has used since the meter was made."""
        now = self._now()
        return {name: now[name] - self._before[name] for name in now}

    def pss(self) -> dict[str, int]:
        """Bytes of memory of each program now."""
        return {name: _sum_pss(pids) for name, pids in self._pids.items()}

    def _now(self) -> dict[str, float]:
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._pids.items()}


def _sum_pss(pids: Iterable[int]) -> int:
    return sum(map(pss_bytes, pids))
