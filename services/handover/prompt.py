"""Waiting for what an operator does meanwhile."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress

from services.handover.masters import RefusedError


async def ask_to_install(say: Callable[[str], None]) -> None:
    """Wait until every service has been given the new map. Raises RefusedError."""
    say(
        "now put the new file in the place of the servers file of every service: running ones read it when they need it."
        " Then press Enter (Ctrl-C: nothing has changed)"
    )
    if not await _read_line():
        raise RefusedError(
            "nobody pressed Enter: nothing has changed; --install puts the file in place without a question"
        )


async def _read_line() -> str:
    """The next line of standard input; no thread reads it, since Ctrl-C would wait for that."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    with suppress(PermissionError):  # of a file, which is always ready
        loop.add_reader(sys.stdin, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(sys.stdin)
    return sys.stdin.readline()
