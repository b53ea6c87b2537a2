"""What runs leave behind: a folder a seed, of which the newest failures stay."""

from __future__ import annotations

import shutil
from pathlib import Path

FAILURES = 20
_FAILED = "failed"


def begin(folder: Path) -> None:
    """An empty folder for a run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def end(folder: Path, *, ok: bool) -> None:
    """Mark what failed, and let all go but the newest failures, and the present run."""
    if not ok:
        (folder / _FAILED).touch()
    others = [other for other in folder.parent.iterdir() if other.is_dir() and other != folder]
    failed = sorted(
        (other for other in others if (other / _FAILED).exists()),
        key=lambda other: (other / _FAILED).stat().st_mtime,
        reverse=True,
    )
    keep = {*failed[: FAILURES - (not ok)]}
    for other in others:
        if other not in keep and (other / "report.json").exists():
            shutil.rmtree(other)
