"""Logs of a run that may go on for weeks."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

MOST = 32 * 1024 * 1024
"""Bytes of a log; as many from before are kept beside it."""

_EVERY = 10.0


async def bound(folder: Path) -> None:
    """Keep the logs in a folder from growing beyond MOST, by more than is written in 10 s, for ever."""
    while True:
        await asyncio.to_thread(_bound, folder)
        await asyncio.sleep(_EVERY)


def _bound(folder: Path) -> None:
    for log in folder.glob("*.log"):
        halve(log)


def halve(log: Path, most: int = MOST) -> None:
    """When a log is longer than `most`, move what it has into `*.log.1` and leave it empty.

    It is emptied in place: its writers append, and need not be told. What they write meanwhile, within milliseconds,
    is lost.
    """
    if log.stat().st_size > most:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
