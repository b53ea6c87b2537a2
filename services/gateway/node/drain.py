"""How a gateway that leaves moves its clients to others: told at once, then closed one after another."""

from __future__ import annotations

import asyncio
import random

from prometheus_client import Counter

from services.gateway.node.registry import Registry
from services.gateway.node.timer_wheel import SLOT
from services.kernel.domain.codes import Close

CHOICE = 0.5
"""The part of a drain in which clients choose their moment: who is closed sooner had no choice."""


async def drain(registry: Registry, seconds: float, *, drained: Counter) -> None:
    """Tell every client to move at a moment of its own, then close what is left with 4100, over so many seconds.

    `drained` counts by outcome: `moved` went by themselves, `closed` had to be closed.
    """
    moved, closed = drained.labels("moved"), drained.labels("closed")
    sessions = list(registry)
    choice = seconds * CHOICE
    _announce(registry, choice)
    await _empty(registry, choice)
    left = [session for session in sessions if not session.is_closed]
    moved.inc(len(sessions) - len(left))
    random.shuffle(left)
    step = (seconds - choice) / max(1, len(left))
    ahead = 0.0
    for session in left:
        ahead += step
        if ahead >= SLOT and not session.is_closed:
            await asyncio.sleep(ahead)
            ahead = 0.0
        (moved if session.is_closed else closed).inc()
        session.close(Close.DRAINING, "1")
    for session in registry:  # those that opened meanwhile
        if not session.is_closed:
            closed.inc()
            session.close(Close.DRAINING, "1")


def _announce(registry: Registry, within: float) -> None:
    events: dict[str, bytes] = {}  # encoded once a wire format
    for session in registry:
        wire_format = session.wire_format
        if wire_format.name not in events:
            events[wire_format.name] = wire_format.event("reconnect", {"within": within})
        session.reconnect(events[wire_format.name])


async def _empty(registry: Registry, seconds: float) -> None:
    """Returns when nobody is left, or after so many seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while len(registry) and (wait := until - loop.time()) > 0:  # noqa: ASYNC110 - time is what is waited for
        await asyncio.sleep(min(SLOT, wait))
