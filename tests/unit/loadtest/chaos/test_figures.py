"""What followed each fault, and what was in each second."""

from __future__ import annotations

from typing import Any

from loadtest.chaos.checker import check
from loadtest.chaos.figures import After, Event, Second, after, burst, percentile, seconds
from loadtest.chaos.histories import read

ROOM = "room:a"


def test_who_was_away_counts_for_the_fault_before() -> None:
    clients = [
        {"away": [[1000, 1500], [9000, 9100]], "arrivals": [10, 1400, 9050]},
        {"away": [[1100, 3100]], "arrivals": [20, 1600]},
    ]
    happened = [Event("gateway-kill", "gateway-1", 900, 900), Event("redis-cut", "", 8000, 8000)]
    assert after(happened, clients) == [
        After("gateway-kill", (0.5, 2.0), 2),
        After("redis-cut", (0.1,), 1),
    ]


def client(**fields: Any) -> dict[str, Any]:
    return {
        "name": "js-0",
        "channels": {},
        "sent": [],
        "refused": [],
        "waiting": {},
        "away": [],
        "arrivals": [],
        **fields,
    }


def run() -> list[dict[str, Any]]:
    """One message before a fault at 2000, one after; a publish that was refused, a loss that was told."""
    entries = [
        ["start", "e", 0],
        ["got", 1, "m1", 1150],
        ["lost", "f", 2, 1, "reset", 2700],
        ["got", 3, "m3", 3900],
    ]
    sent = [
        [ROOM, "m1", "e", 1, True, 1100, 1120],
        [ROOM, "m2", "e", 2, True, 1900, 1950],
        [ROOM, "m3", "f", 3, True, 2500, 3500],
    ]
    denied = [[ROOM, "m4", "unavailable", 2100]]
    return [client(channels={ROOM: entries}, sent=sent, denied=denied, arrivals=[3000])]


def test_what_was_refused_told_and_accepted_again_counts_for_its_fault() -> None:
    clients = run()
    record = read(clients)
    verdict = check(record)
    happened = [Event("redis-kill", "", 2000, 2300)]
    (found,) = after(happened, clients, record, verdict)
    assert (found.accepted, found.refused, found.flagged) == (1.5, 1, 1)
    assert [ack.id for ack in verdict.lost] == ["m2"]


def test_each_second_has_what_was_in_it() -> None:
    clients = run()
    found = seconds(read(clients), clients, (1000, 3999))
    assert found == [
        Second(acked=2, delivered=1, latencies=[50]),
        Second(refused=1, flagged=1),
        Second(acked=1, delivered=1, arrivals=1, latencies=[1400]),
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
