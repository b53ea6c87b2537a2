"""Whether a run was good enough: no gap, nothing twice, latency and errors within what was asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One line of Locust's statistics; times in milliseconds."""

    kind: str
    name: str
    requests: int
    failures: int
    rate: float
    median: float
    p95: float
    p99: float
    longest: float


class Slo(NamedTuple):
    """`p99` in milliseconds from publish to delivery; `errors`, the share of requests that may fail."""

    p99: float
    errors: float


def judge(rows: Iterable[Row], slo: Slo) -> list[str]:
    """Why the run has failed; empty when it has not."""
    rows = list(rows)
    found = [
        f"{row.kind}, {row.name}: {row.failures} messages"
        for row in rows
        if row.failures and row.kind.endswith((" gap", " repeat"))
    ]
    delivered = [row for row in rows if row.kind.endswith(" deliver")]
    found += [
        f"{row.kind}, {row.name}: p99 is {row.p99:g} ms, more than {slo.p99:g} ms"
        for row in delivered
        if row.p99 > slo.p99
    ]
    if not sum(row.requests for row in delivered):
        found.append("nothing was delivered")
    others = [row for row in rows if not row.kind.endswith((" gap", " repeat"))]
    failures, requests = (sum(column) for column in _columns(others))
    if failures > slo.errors * requests:
        found.append(f"{failures} of {requests} requests failed, more than {slo.errors:.2%}")
    return found


def _columns(rows: list[Row]) -> tuple[list[int], list[int]]:
    return [row.failures for row in rows], [row.requests for row in rows]
