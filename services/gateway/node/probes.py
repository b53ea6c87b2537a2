"""Connections that a user has and that may be dead: asked for a sign of life when the user has one too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from services.gateway.node.registry import Registry
from services.gateway.session.session import Session

SILENCE = 1.0
"""Seconds without a sign of life after which a connection is asked for one."""

PATIENCE = 3.0
"""Seconds that it has to answer. Less than a lease (6): until then the newcomer is told to come back, later to stay away."""

EVERY = 1.0
"""Seconds until the fleet is asked again about the same user."""


class Probes:
    """A phone that lost its network holds its connections until their heartbeat ends them, which takes half a minute.

    `order` has every gateway call `probe`; `call_later` is the loop's.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        order: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._now = now
        self._call_later = call_later
        self._order = order
        self._ordered: OrderedDict[str, float] = OrderedDict()  # by time

    def order(self, user: str) -> None:
        """A user has one connection too many: have all of its connections asked that may be dead."""
        now = self._now()
        while self._ordered and now - next(iter(self._ordered.values())) >= EVERY:
            self._ordered.popitem(last=False)
        if user not in self._ordered:
            self._ordered[user] = now
            self._order(user)

    def probe(self, user: str) -> None:
        """Ask the user's connections here that were silent, and end those that do not answer."""
        now = self._now()
        asked = [one for one in self._registry.of(user) if one.probe(now - SILENCE)]
        if asked:
            self._call_later(PATIENCE, partial(self._end, asked, now))

    def _end(self, asked: list[Session], since: float) -> None:
        for session in asked:
            session.end_silent(since)
