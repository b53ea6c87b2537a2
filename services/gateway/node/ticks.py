"""The loop that ticks sessions: heartbeats and expiries, one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from services.gateway.node.timer_wheel import SLOT, Wheel
from services.gateway.session.session import Session
from services.kernel.domain.codes import Close
from services.kernel.ops import pace

AT_ONCE = 500
"""Sessions ticked in one turn of the loop: more would hold up everybody else."""

log = structlog.get_logger(__name__)


class Ticks:
    """When each session is looked at next. `slot` is the resolution in seconds."""

    def __init__(self, now: Callable[[], float], *, slot: float = SLOT) -> None:
        self._now = now
        self._slot = slot
        self._wheel: Wheel[Session] = Wheel(now())

    def put(self, session: Session, at: float) -> None:
        """Tick a session at this time; a time asked for earlier no longer counts."""
        self._wheel.put(session, at)

    def forget(self, session: Session) -> None:
        """Never tick it again."""
        self._wheel.forget(session)

    def waiting(self) -> list[Session]:
        """Every session that has a tick ahead: all live ones, authenticated or not."""
        return list(self._wheel)

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await pace.pause(self._slot)
            for number, session in enumerate(self._wheel.due(self._now()), 1):
                self._tick(session)
                if not number % AT_ONCE:
                    await asyncio.sleep(0)

    def _tick(self, session: Session) -> None:
        try:
            at = session.tick(self._now())
        except Exception:  # one session's bug must not stop the clock of all others
            log.exception("tick_failed", connection=session.id)
            session.close(Close.INTERNAL_ERROR, "internal error")
            return
        if at is not None:
            self._wheel.put(session, at)
