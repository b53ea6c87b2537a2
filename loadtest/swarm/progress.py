"""One line now and then while a headless run goes on: its report comes only at the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import gevent

if TYPE_CHECKING:
    from locust.env import Environment

EVERY = 10.0
"""Seconds between two lines."""


class Counts(NamedTuple):
    """What there was so far."""

    users: int
    delivered: int
    failed: int


def line(before: Counts, now: Counts, *, seconds: float) -> str:
    """What to show after these seconds of the run; `before` was `EVERY` seconds ago."""
    rate = (now.delivered - before.delivered) / EVERY
    return f"{seconds:.0f} s: {now.users:,} users, {now.delivered:,} deliveries, {rate:,.0f} a second, {now.failed:,} failed"


def run(environment: Environment) -> None:
    """Write the lines until killed; a greenlet's work."""
    began, before = time.monotonic(), Counts(0, 0, 0)
    while True:
        gevent.sleep(EVERY)
        now = _counts(environment)
        text = line(before, now, seconds=time.monotonic() - began)
        sys.stderr.write(f"load: {text}\n")
        sys.stderr.flush()
        before = now


def _counts(environment: Environment) -> Counts:
    entries = environment.stats.entries.values()
    return Counts(
        users=environment.runner.user_count if environment.runner else 0,
        delivered=sum(e.num_requests for e in entries if e.method.endswith(" deliver")),
        failed=sum(e.num_failures for e in entries),
    )
