"""From samples to tables."""

from __future__ import annotations

import pytest

from loadtest.bench import report
from loadtest.bench.bench import Sample
from loadtest.bench.rows import ROWS
from loadtest.bench.scenarios import fanout

MACHINE = {
    "revision": "abc",
    "cores": 2,
    "processor": "P",
    "memory_gib": 4,
    "kernel": "6",
    "python": "3.11",
    "load_average": 0.1,
}
SAMPLES = [
    Sample("fanout-50", target, number, {"cpu_us": cpu, "p99_ms": 3.0})
    for target, cpus in (("Openline", (7.0, 9.0, 8.0)), ("tutorials' loop", (16.0, 15.0, 40.0)))
    for number, cpu in enumerate(cpus)
]


def test_ratios_are_of_medians():
    rows = {(row["what"], row["against"]): row for row in report.as_json(MACHINE, SAMPLES)["rows"]}
    row = rows[ROWS[1].what, ROWS[1].against]
    assert row["figure"] == 0.5
    assert row["met"]
    unmeasured = rows[ROWS[2].what, ROWS[2].against]
    assert (unmeasured["figure"], unmeasured["met"]) == (None, False)


def test_the_table_tells_medians_and_spread():
    text = report.markdown(MACHINE, SAMPLES, [fanout.SLOW, fanout.FAST])
    assert "| Openline | 8 (7 to 9) |" in text
    assert "| 0.50 | at most 0.62 | 0.52 | met |" in text
    assert "not measured" in text
    assert "medians of 3 rounds" in text
    assert fanout.FAST.title not in text


def test_a_row_may_ask_for_more_or_for_less():
    less = next(row for row in ROWS if not row.more)
    more = next(row for row in ROWS if row.more)
    assert less.met(less.must)
    assert not less.met(less.must * 1.01)
    assert more.met(more.must)
    assert not more.met(more.must * 0.99)


def test_the_block_between_the_markers_is_replaced():
    page = "a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb\n"
    once = report.placed(page, "new\n")
    assert once == "a\n<!-- bench: begin -->\n\nnew\n\n<!-- bench: end -->\nb\n"
    assert report.placed(once, "new\n") == once
    with pytest.raises(ValueError, match="begin"):
        report.placed("no markers", "new")
