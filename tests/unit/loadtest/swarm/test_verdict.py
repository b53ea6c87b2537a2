"""When a run has failed, and what its report says."""

from __future__ import annotations

import pytest

from loadtest.swarm.report import markdown
from loadtest.swarm.verdict import Row, Slo, judge

SLO = Slo(p99=200, errors=0.01)


def row(kind: str, requests: int = 100, failures: int = 0, p99: float = 20) -> Row:
    return Row(kind, "room", requests, failures, 10, 5, 15, p99, 30)


GOOD = [row("WS deliver"), row("WS connect", 10), row("HTTP publish", 50)]


def test_a_good_run_passes() -> None:
    assert judge(GOOD, SLO) == []


@pytest.mark.parametrize(
    ("added", "reason"),
    [
        (row("WS gap", 3, 3), "WS gap, room: 3 messages"),
        (row("SSE repeat", 1, 1), "SSE repeat, room: 1 messages"),
        (row("SSE deliver", p99=210), "SSE deliver, room: p99 is 210 ms, more than 200 ms"),
        (row("WS close", 5, 5), "5 of 165 requests failed, more than 1.00%"),
    ],
)
def test_each_fault_fails_it_and_is_named(added: Row, reason: str) -> None:
    assert judge([*GOOD, added], SLO) == [reason]


def test_gaps_fail_a_run_whatever_share_may_fail() -> None:
    assert judge([*GOOD, row("WS gap", 1, 1)], Slo(p99=200, errors=1))


def test_only_deliveries_are_held_to_the_latency() -> None:
    assert judge([*GOOD, row("WS recover", p99=9000), row("WS connect", p99=900)], SLO) == []


def test_a_run_without_a_delivery_has_failed() -> None:
    assert judge([row("HTTP publish")], SLO) == ["nothing was delivered"]


def test_the_report_tells_verdict_rows_and_failures() -> None:
    text = markdown(GOOD, ["too slow"], about="3 users", errors=["2 x WS close"])
    assert text.startswith("# Load: **failed**\n\n3 users\n\n- too slow\n\n| what |")
    assert "| WS deliver | room | 100 | 10.0 | 0 | 5 | 15 | 20 | 30 |" in text
    assert text.endswith("Failures:\n\n- 2 x WS close\n")
    assert "# Load: passed" in markdown(GOOD, [], about="", errors=[])
