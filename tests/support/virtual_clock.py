"""An event loop whose clock jumps to what is due next: tests wait for seconds that nobody spends."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing as long as something is scheduled, and says how long it would have waited."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        self.waited += timeout
        return super().select(0)


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """Runs what is scheduled at once and in order. For code without sockets, threads or processes."""

    def __init__(self) -> None:
        self._jumping: Any = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds that were waited for."""
        return 1000.0 + float(self._jumping.waited)
