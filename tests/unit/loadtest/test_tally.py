"""What load clients count."""

from __future__ import annotations

import json

from loadtest.bench.tally import Tally, percentile


def test_messages_in_order_are_only_counted():
    tally = Tally()
    assert tally.take(None, [5, 6, 7]) == 8
    assert tally.take(8, [8]) == 9
    assert (tally.received, tally.gaps, tally.reorders) == (4, 0, 0)


def test_a_number_passed_over_is_a_gap_and_its_late_arrival_a_reorder():
    tally = Tally()
    assert tally.take(1, [1, 4, 2, 3, 5]) == 6
    assert (tally.received, tally.gaps, tally.reorders) == (5, 2, 2)


def test_a_message_that_comes_twice_is_a_reorder():
    tally = Tally()
    assert tally.take(1, [1, 1]) == 2
    assert (tally.gaps, tally.reorders) == (0, 1)


def test_percentiles_are_of_all_that_was_timed():
    tally = Tally()
    tally.late(100_000, [100_000 - 1000 * n for n in range(100)])  # 0 to 99 ms
    steps = json.loads(json.dumps(tally.as_json()))["steps"]
    assert percentile(steps, 0.5) == 49.1
    assert percentile(steps, 0.99) == 98.1
    assert percentile(steps, 1.0) == 99.1
    assert percentile({}, 0.5) == 0
