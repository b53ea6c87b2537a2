"""Restarts a service when its files change: what `make dev` adds to `make run`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path

from deploy.local.plan import ROOT
from deploy.local.processes import Process

EVERY = 0.5
Watched = list[tuple[Process, tuple[Path, ...]]]
SHARED = (ROOT / "services" / "kernel", ROOT / "deploy" / "namespaces.toml")


def folders(command: Sequence[str]) -> tuple[Path, ...]:
    """What a program is made of, when it is a service of ours: `python -m services.NAME`; nothing otherwise."""
    module = command[-1]
    return (ROOT / module.replace(".", "/"), *SHARED) if module.startswith("services.") else ()


def stamp(paths: Iterable[Path]) -> dict[str, int]:
    """When each file was changed last, in ns."""
    found: dict[str, int] = {}
    for path in paths:
        for file in path.rglob("*.*") if path.is_dir() else (path,):
            if file.suffix != ".pyc" and (changed := _changed(file)):
                found[str(file)] = changed
    return found


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:  # an editor replaces it just now
        return 0


def watch(processes: Iterable[Process]) -> Coroutine[None, None, None]:
    """Restart each process once its files differ from now, and have been left alone for half a second since."""
    watched = [(process, paths) for process in processes if (paths := folders(process.command))]
    return _follow(watched, [stamp(paths) for _, paths in watched])


async def _follow(watched: Watched, known: list[dict[str, int]]) -> None:
    latest = known
    while True:
        await asyncio.sleep(EVERY)
        found = [await asyncio.to_thread(stamp, paths) for _, paths in watched]
        if found == latest != known:
            for (process, _), now, before in zip(watched, found, known, strict=True):
                if now != before:
                    process.restart()
            known = found
        latest = found
