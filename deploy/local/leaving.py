"""Has the gateways move the clients of nginx's old workers when nginx is reloaded, however it was told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from deploy.local import readiness

EVERY = 0.25


async def watch(nginx: Callable[[], int | None], gateways: list[str], seconds: int) -> None:
    """Look at the workers of nginx, whose process id is asked for, until cancelled. Does nothing where there is no /proc.

    `gateways` are base URLs: one that answers tells the others. `seconds`: over which clients are moved.
    """
    known: set[int] = set()
    while True:
        await asyncio.sleep(EVERY)
        pid = nginx()
        found = leaving(pid) if pid is not None else set()
        if found <= known or await _order(gateways, seconds):
            known = found


def leaving(nginx: int) -> set[int]:
    """The process ids of workers that accept nobody any more."""
    try:
        children = Path(f"/proc/{nginx}/task/{nginx}/children").read_text("ascii").split()
        titles = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    except OSError:  # some have just ended, or there is no /proc
        return set()
    return {pid for pid, title in titles.items() if b"is shutting down" in title}


async def _order(gateways: list[str], seconds: int) -> bool:
    """Whether a gateway took the order."""
    name = socket.gethostname().lower()  # as $hostname in nginx's configuration has it
    for gateway in gateways:
        if await readiness.post(f"{gateway}/proxies/{name}/move?seconds={seconds}"):
            return True
    return False
