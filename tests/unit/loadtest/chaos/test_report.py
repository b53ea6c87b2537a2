"""What a run has shown, in words."""

from __future__ import annotations

from collections import Counter

from loadtest.chaos.checker import Finding, Verdict
from loadtest.chaos.figures import After
from loadtest.chaos.report import text


def test_it_says_what_was_counted_what_followed_each_fault_and_what_is_wrong() -> None:
    verdict = Verdict(
        findings=[Finding("missed", "js-3", "room:a", 7, "is missing before m8 at 8")],
        delivered=10,
        acked=4,
        flagged=Counter({"reset": 2}),
        acked_unheard=1,
    )
    afters = [After("gateway-kill", (0.5, 1.25), 9), After("redis-reset", (), 0)]
    lines = text(verdict, afters, [{"leaves": 2}, {"leaves": 1}]).splitlines()
    assert lines[0] == "2 clients: 4 acknowledged, 10 delivered"
    assert lines[1].startswith("1 missed, 0 doubled, 0 reordered")
    assert (
        lines[2]
        == "losses that clients were told of: 2 'reset'; acknowledged and heard by nobody: 1"
    )
    assert lines[3] == "leaves shown: 3"
    assert "| gateway-kill | 2 | 1.25 s | 1.25 s | 1.25 s | 9 |" in lines
    assert "| redis-reset | 0 | | | | 0 |" in lines
    assert lines[-1] == "  missed: js-3 in room:a at 7: is missing before m8 at 8"


def test_without_a_loss_it_says_none() -> None:
    assert "told of: 0; acknowledged" in text(Verdict(), [], [])
