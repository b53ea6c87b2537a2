"""How a gateway that leaves moves its clients to others: told at once, closed one after another."""

from __future__ import annotations

import asyncio
import random

from prometheus_client import Counter

from services.gateway.roster import Roster
from services.gateway.wheel import SLOT
from services.kernel.domain.codes import Close


async def drain(roster: Roster, seconds: float, *, drained: Counter) -> None:
    """Tell every client to move, each at its own moment of so many seconds, then close what is left with 4100.

    `drained` counts by outcome: `moved` went by themselves, `closed` had to be closed.
    """
    moved, closed = drained.labels("moved"), drained.labels("closed")
    sessions = list(roster)
    _announce(roster, seconds)
    step = seconds / max(1, len(sessions))
    random.shuffle(sessions)
    ahead = 0.0
    for session in sessions:
        (moved if session.is_closed else closed).inc()
        session.close(Close.DRAINING, "1")
        ahead += step
        if ahead >= SLOT:
            await asyncio.sleep(ahead)
            ahead = 0.0
    for session in roster:  # those that opened meanwhile
        if not session.is_closed:
            closed.inc()
            session.close(Close.DRAINING, "1")


def _announce(roster: Roster, seconds: float) -> None:
    events: dict[str, bytes] = {}  # encoded once a dialect
    for session in roster:
        dialect = session.dialect
        if dialect.name not in events:
            events[dialect.name] = dialect.event("reconnect", {"within": seconds})
        session.reconnect(events[dialect.name])
