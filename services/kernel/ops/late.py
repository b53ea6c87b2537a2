"""Events that are counted a little later, some at once: prometheus_client takes a lock and several calls for each number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from prometheus_client import Metric
from prometheus_client.registry import Collector

Event = TypeVar("Event")

KEPT = 64
"""Events that wait at most: to count them takes well below a millisecond."""


class Late(Collector, Generic[Event]):
    """Has `count` called for each event, in order, when `KEPT` wait or metrics are collected.

    A registry must know it before the metrics that `count` changes: it collects in that order.
    """

    def __init__(self, count: Callable[[Event], None]) -> None:
        self._count = count
        self._noted: list[Event] = []

    def note(self, event: Event) -> None:
        """Have it counted soon."""
        self._noted.append(event)
        if len(self._noted) >= KEPT:
            self.add_up()

    def add_up(self) -> None:
        """Count what waits."""
        noted, self._noted = self._noted, []
        for event in noted:
            self._count(event)

    def describe(self) -> Iterable[Metric]:
        """See prometheus_client: it has no series of its own."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        self.add_up()
        return ()
