"""What followed each fault."""

from __future__ import annotations

from loadtest.chaos.figures import After, after, burst, percentile


def test_who_was_away_counts_for_the_fault_before() -> None:
    clients = [
        {"away": [[1000, 1500], [9000, 9100]], "arrivals": [10, 1400, 9050]},
        {"away": [[1100, 3100]], "arrivals": [20, 1600]},
    ]
    assert after([(900, "gateway-kill"), (8000, "redis-reset")], clients) == [
        After("gateway-kill", (0.5, 2.0), 2),
        After("redis-reset", (0.1,), 1),
    ]


def test_the_largest_burst_lies_anywhere() -> None:
    assert burst([]) == 0
    assert burst([0, 999]) == 2
    assert burst([0, 1000]) == 1
    assert burst([2500, 0, 900, 1500, 1800, 1899]) == 4


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3
    assert percentile([1.0, 2.0], 0.99) == 2
