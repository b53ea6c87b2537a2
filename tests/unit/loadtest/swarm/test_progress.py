"""What a headless run says while it goes on."""

from __future__ import annotations

from loadtest.swarm.progress import Counts, line


def test_a_line_says_how_far_it_is_and_what_went_wrong() -> None:
    before, now = Counts(100, 4_000, 0), Counts(200, 16_000, 3)
    shown = line(before, now, seconds=20.4)
    assert shown == "20 s: 200 users, 16,000 deliveries, 1,200 a second, 3 failed"
