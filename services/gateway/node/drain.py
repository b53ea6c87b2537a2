"""How clients are moved to another gateway or front door: told at once, then closed one after another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import structlog
from prometheus_client import Counter

from services.gateway.node.registry import Registry
from services.gateway.node.timer_wheel import SLOT
from services.gateway.session.session import Session
from services.kernel.domain.codes import Close
from services.kernel.domain.control import DrainNode, ForNode

CHOICE = 0.5
"""Fraction of a move in which clients may reconnect by themselves. The rest are then closed one by one."""

log = structlog.get_logger(__name__)


class OrderedDrain:
    """A drain that the back end ordered by this gateway's name. `active` until it is undone or the process ends.

    `spawn` starts the moving of the clients, and answers with its task.
    """

    def __init__(
        self,
        name: str,
        registry: Registry,
        *,
        drained: Counter,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self.active = False
        self._name = name
        self._registry = registry
        self._drained = drained
        self._spawn = spawn
        self._moving: asyncio.Task[None] | None = None

    def handle(self, order: ForNode) -> None:
        """Begin or end, if this gateway is meant. An order that was carried out before changes nothing."""
        if order.node != self._name or self.active is isinstance(order, DrainNode):
            return
        self.active = not self.active
        if isinstance(order, DrainNode):
            log.info("drain_ordered", connections=len(self._registry), within=order.within)
            moving = drain(self._registry, order.within / CHOICE, drained=self._drained)
            self._moving = self._spawn(moving)
        else:
            log.info("drain_cancelled", connections=len(self._registry))
            self.stop()

    def stop(self) -> None:
        """Leave alone the clients that are still here; who was told to move does so."""
        if self._moving is not None:
            self._moving.cancel()
            self._moving = None


async def drain(registry: Registry, seconds: float, *, drained: Counter) -> None:
    """Move every client, and close those that opened meanwhile."""
    await move(list(registry), seconds, drained=drained)
    for session in registry:
        if not session.is_closed:
            drained.labels("closed").inc()
            session.close(Close.DRAINING, "1")


async def move(sessions: Sequence[Session], seconds: float, *, drained: Counter) -> None:
    """Tell these clients to move at a moment of their own, then close the rest with 4100, within the given seconds.

    `drained` counts by outcome: `moved` went by themselves, `closed` had to be closed.
    """
    moved, closed = drained.labels("moved"), drained.labels("closed")
    choice = seconds * CHOICE
    _announce(sessions, choice)
    left = await _left(sessions, choice)
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


def _announce(sessions: Iterable[Session], within: float) -> None:
    events: dict[str, bytes] = {}  # encoded once a wire format
    for session in sessions:
        wire_format = session.wire_format
        if wire_format.name not in events:
            events[wire_format.name] = wire_format.event("reconnect", {"within": within})
        session.reconnect(events[wire_format.name])


async def _left(sessions: Iterable[Session], seconds: float) -> list[Session]:
    """The clients still connected after the given seconds; returns sooner when none is."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    left = [session for session in sessions if not session.is_closed]
    while left and (wait := until - loop.time()) > 0:
        await asyncio.sleep(min(SLOT, wait))
        left = [session for session in left if not session.is_closed]
    return left
