"""How much memory a process holds."""

from __future__ import annotations

from pathlib import Path


def resident(pid: int) -> int:
    """Bytes (VmRSS of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")
