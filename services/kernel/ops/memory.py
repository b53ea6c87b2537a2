"""How much memory this process may have, where its container bounds it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),  # cgroups of version 1
)
_ENDLESS = 1 << 62


def ceiling(files: Sequence[Path] = _FILES) -> int | None:
    """Bytes above which the kernel ends this process; None when there is no such bound, or none that could be read."""
    for path in files:
        with suppress(OSError, ValueError):  # `max` is not a number
            found = int(path.read_text("ascii"))
            return found if found < _ENDLESS else None
    return None
