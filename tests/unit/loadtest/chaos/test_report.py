"""What a run has shown: as text, for programs, and as a page."""

from __future__ import annotations

import json
from collections import Counter

from loadtest.chaos.checker import Finding, Verdict
from loadtest.chaos.figures import After, Event, Second
from loadtest.chaos.judge import Judgement
from loadtest.chaos.page import page
from loadtest.chaos.report import as_json, text

COMMAND = "make chaos CHAOS='--seed 7'"
ABOUT = {"seed": 7, "command": COMMAND, "store": "standalone, redis"}


def judged(*findings: Finding) -> Judgement:
    """Two faults in three seconds."""
    return Judgement(
        ok=not findings,
        verdict=Verdict(findings=[*findings], delivered=10, acked=4, flagged=Counter({"reset": 2})),
        needless=1,
        afters=[After("gateway-kill", (0.5, 1.25), 9, 0.75, 1, 2, 3), After("redis-cut", (), 0)],
        seconds=[Second(acked=4, delivered=10, latencies=[3, 8]), Second(), Second()],
        happened=[Event("gateway-kill", "gateway-1", 500, 500), Event("redis-cut", "", 1500, 1900)],
        window=(0, 2999),
        counts={"acknowledged": 4, "delivered": 10},
    )


MISSED = Finding("missed", "js-3", "room:<a>", 7, "is missing before m8 at 8")


def test_the_text_says_what_was_counted_what_followed_each_fault_and_what_is_wrong() -> None:
    lines = text(judged(MISSED), command=COMMAND).splitlines()
    assert lines[:3] == [
        "FAILED",
        "acknowledged: 4, delivered: 10",
        "1 missed, 0 doubled, 0 reordered, 0 unrecovered, 0 foreign, 0 echoed, 0 nowhere, 0 behind, 0 lost, 0 again, 0 reset",
    ]
    assert "losses that clients were told of: 2 'reset'" in lines
    assert f"again: {COMMAND}" in lines
    assert "| gateway-kill | 0.75 s | 2 | 1.25 s | 1.25 s | 1.25 s | 9 | 1 | 2 | 3 |" in lines
    assert "| redis-cut | never | 0 |  |  |  | 0 | 0 | 0 | 0 |" in lines
    assert lines[-1] == "  missed: js-3 in room:<a> at 7: is missing before m8 at 8"


def test_without_a_finding_it_has_passed() -> None:
    assert text(judged(), command=COMMAND).startswith("passed\n")


def test_programs_get_the_same() -> None:
    found = json.loads(as_json(judged(MISSED), ABOUT))
    assert (found["ok"], found["seed"], found["command"]) == (False, 7, COMMAND)
    assert found["findings"][0]["client"] == "js-3"
    assert found["faults"][0]["away"] == {"count": 2, "p50": 1.25, "p99": 1.25}
    assert found["seconds"][0]["p99"] == 8


def test_the_page_shows_all_of_it_and_needs_nothing_else() -> None:
    html = page(judged(MISSED), ABOUT)
    assert "<span class=failed>failed</span>" in html
    assert "gateway-kill gateway-1, 0.0 s" in html
    assert "room:&lt;a&gt;" in html
    assert "make chaos CHAOS=&#x27;--seed 7&#x27;" in html
    assert "prefers-color-scheme: dark" in html
    assert "src=" not in html
    assert "href=" not in html
    assert "<span class=passed>passed</span>" in page(judged(), ABOUT)
