"""What a run has shown, as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadtest.chaos.checker import Verdict
from loadtest.chaos.figures import After, percentile

_SHOWN = 20
MUST_NOT_BE = ("missed", "doubled", "reordered", "foreign", "echoed", "nowhere", "behind")


def text(verdict: Verdict, afters: Sequence[After], clients: Sequence[Mapping[str, Any]]) -> str:
    """Counts, then what followed each fault, then what is wrong."""
    leaves = sum(client["leaves"] for client in clients)
    flagged = ", ".join(f"{count} {reason!r}" for reason, count in verdict.flagged.items()) or "0"
    lines = [
        f"{len(clients)} clients: {verdict.acked} acknowledged, {verdict.delivered} delivered",
        ", ".join(f"{verdict.count(kind)} {kind}" for kind in MUST_NOT_BE),
        f"losses that clients were told of: {flagged}; acknowledged and heard by nobody: {verdict.acked_unheard}",
        f"leaves shown: {leaves}",
        "",
        "| fault | lost their line | back and recovered, p50 | p99 | slowest | most arrivals a second |",
        "|---|---|---|---|---|---|",
        *map(_row, afters),
    ]
    if verdict.findings:
        lines += ["", f"{len(verdict.findings)} findings:"]
        lines += [
            f"  {f.kind}: {f.client} in {f.channel} at {f.offset}: {f.text}"
            for f in verdict.findings[:_SHOWN]
        ]
    return "\n".join(lines) + "\n"


def _row(after: After) -> str:
    away = after.away
    if not away:
        return f"| {after.kind} | 0 | | | | {after.burst} |"
    p50, p99 = (percentile(away, share) for share in (0.5, 0.99))
    return f"| {after.kind} | {len(away)} | {p50:.2f} s | {p99:.2f} s | {away[-1]:.2f} s | {after.burst} |"
