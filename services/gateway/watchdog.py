"""Ends the process when its event loop hangs: a gateway that only looks alive holds clients that others could serve."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

import structlog

from services.kernel.ops import pace

PERIOD = 1.0
PATIENCE = 30
"""Periods without a turn of the loop. Counted by the watcher's own wake-ups, so that a stopped (SIGSTOP) or suspended
process, in which the watcher sleeps as well, is not taken for a hung one."""

log = structlog.get_logger(__name__)


class Watchdog:
    """The loop says that it lives; a thread listens. `delay` is told by how many seconds the loop was late."""

    def __init__(self, *, delay: Callable[[float], None]) -> None:
        self._delay = delay
        self._silent = 0
        self._ended = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        try:
            while True:
                self._silent = 0
                wait = pace.until_next(PERIOD)
                due = time.monotonic() + wait
                await asyncio.sleep(wait)
                self._delay(max(0.0, time.monotonic() - due))
        finally:
            self._ended.set()

    def _watch(self) -> None:
        while not self._ended.is_set():
            time.sleep(PERIOD)
            self._silent += 1
            if self._silent > PATIENCE:
                log.critical("loop_blocked", seconds=self._silent * PERIOD)
                os._exit(70)
