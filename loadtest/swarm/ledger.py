"""What users saw, written into Locust's statistics: in bulk where there is much of it, as events where there is little."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import gevent
from locust.env import Environment
from locust.stats import StatsEntry, StatsEntryDict, bucket_response_time

EVERY = 0.25
"""Seconds between two writings: Locust shows and reports once a second or slower."""

_AHEAD = 2_000
"""Microseconds by which a message may seem to arrive before it was sent: clocks are read one after the other."""


class FaultError(Exception):
    """What went wrong, as Locust's table of failures shows it."""


class Ledger:
    """One process' counts. A `kind` is Locust's request type, a `name` its name."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._late: dict[tuple[str, str], dict[int, int]] = {}

    def run(self) -> None:
        """Write now and then, for ever; a greenlet's work."""
        while True:
            gevent.sleep(EVERY)
            self.flush()

    def delivered(self, kind: str, name: str, *, stamps: Iterable[int], now: int) -> None:
        """Messages that came `now` and were sent at `stamps`, in microseconds."""
        late = self._late.setdefault((kind, name), {})
        for stamp in stamps:
            took = (now - stamp) // 1000
            late[took] = late.get(took, 0) + 1

    def counted(self, kind: str, name: str, *, count: int) -> None:
        """Something that took no time."""
        late = self._late.setdefault((kind, name), {})
        late[0] = late.get(0, 0) + count

    def event(
        self,
        kind: str,
        name: str,
        *,
        began: float | None = None,
        error: str | None = None,
        size: int = 0,
    ) -> None:
        """One thing that was done, or went wrong; `began` by `time.perf_counter`."""
        took = None if began is None else (time.perf_counter() - began) * 1000
        self._environment.events.request.fire(  # type: ignore[no-untyped-call]  # Locust's
            request_type=kind,
            name=name,
            response_time=took,
            response_length=size,
            exception=None if error is None else FaultError(error),
            context={},
        )

    def flush(self) -> None:
        """Write what was delivered since the last time."""
        taken, self._late = self._late, {}
        for (kind, name), late in taken.items():
            if any(took * 1000 < -_AHEAD for took in late):
                self.event(
                    "clock", name, error="arrived before it was sent: set the workers' clocks"
                )
            self._add(kind, name, {max(0, took): count for took, count in late.items()})

    def _add(self, kind: str, name: str, late: dict[int, int]) -> None:
        stats, now = self._environment.stats, time.time()
        entry = StatsEntry.unserialize(summary(kind, name, late, now=now), stats)
        stats.entries[(name, kind)].extend(entry)
        stats.total.extend(entry)


def summary(kind: str, name: str, late: dict[int, int], *, now: float) -> StatsEntryDict:
    """What Locust would have noted for so many requests that took so many milliseconds each."""
    count = sum(late.values())
    buckets: dict[int, int] = {}
    for took, times in late.items():
        bucket = bucket_response_time(took)
        buckets[bucket] = buckets.get(bucket, 0) + times
    none: dict[Any, Any] = {}
    return {
        "name": name,
        "method": kind,
        "last_request_timestamp": now,
        "start_time": now,
        "num_requests": count,
        "num_none_requests": 0,
        "num_failures": 0,
        "total_response_time": sum(took * times for took, times in late.items()),
        "max_response_time": max(late),
        "min_response_time": min(late),
        "total_content_length": 0,
        "response_times": buckets,
        "num_reqs_per_sec": {int(now): count},
        "num_fail_per_sec": none,
    }
