"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from loadtest.bench.remote import ROOT


def describe() -> dict[str, Any]:
    """Processor, cores, memory, kernel, Python, the revision that was measured, and how busy the machine is."""
    return {
        "processor": _field("/proc/cpuinfo", r"model name\s*:\s*(.+)"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(_field("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "revision": _revision(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _field(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text("utf-8"))
    return found[1] if found else ""


def _revision() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
