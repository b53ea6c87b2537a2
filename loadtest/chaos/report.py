"""What a run has shown, as text and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from loadtest.chaos.figures import After, percentile
from loadtest.chaos.judge import Judgement

_SHOWN = 20
MUST_NOT_BE = (
    "missed",
    "doubled",
    "reordered",
    "unrecovered",
    "foreign",
    "echoed",
    "nowhere",
    "behind",
    "lost",
    "again",
    "reset",
)
HEADS = (
    "fault",
    "first accepted publish",
    "lost their line",
    "back and recovered, p50",
    "p99",
    "slowest",
    "most arrivals a second",
    "refused",
    "told of a loss",
    "acknowledged and lost",
)


def text(judged: Judgement, *, command: str) -> str:
    """Counts, then what followed each fault, then what is wrong."""
    verdict = judged.verdict
    flagged = ", ".join(f"{count} {reason!r}" for reason, count in verdict.flagged.items()) or "0"
    p50, p99 = latency(judged)
    lines = [
        "passed" if judged.ok else "FAILED",
        ", ".join(f"{name}: {number:,}" for name, number in judged.counts.items()),
        ", ".join(f"{verdict.count(kind)} {kind}" for kind in MUST_NOT_BE),
        f"losses that clients were told of: {flagged}",
        f"from publish to client: p50 {p50:g} ms, p99 {p99:g} ms",
        f"again: {command}",
        "",
        f"| {' | '.join(HEADS)} |",
        f"|{'---|' * len(HEADS)}",
        *(f"| {' | '.join(row(after))} |" for after in judged.afters),
    ]
    if verdict.findings:
        lines += ["", f"{len(verdict.findings)} findings:"]
        lines += [
            f"  {f.kind}: {f.client} in {f.channel} at {f.offset}: {f.text}"
            for f in verdict.findings[:_SHOWN]
        ]
    return "\n".join(lines) + "\n"


def row(after: After) -> list[str]:
    """What followed one fault, in words."""
    times = ["", "", ""]
    if after.away:
        times = [f"{percentile(after.away, share):.2f} s" for share in (0.5, 0.99)]
        times.append(f"{after.away[-1]:.2f} s")
    accepted = "never" if after.accepted is None else f"{after.accepted:.2f} s"
    numbers = (after.burst, after.refused, after.flagged, after.lost)
    return [after.kind, accepted, str(len(after.away)), *times, *map(str, numbers)]


def latency(judged: Judgement) -> tuple[float, float]:
    """Of all deliveries: p50 and p99 in milliseconds."""
    values = sorted(ms for second in judged.seconds for ms in second.latencies)
    return percentile(values, 0.5), percentile(values, 0.99)


def as_json(judged: Judgement, about: Mapping[str, Any]) -> str:
    """Everything, for programs; `about` says what run it was."""
    p50, p99 = latency(judged)
    content = {
        **about,
        "ok": judged.ok,
        "counts": judged.counts,
        "latency_ms": {"p50": p50, "p99": p99},
        "flagged": judged.verdict.flagged,
        "findings": [asdict(finding) for finding in judged.verdict.findings],
        "faults": [
            {**asdict(event), **asdict(after), "away": quantiles(after.away)}
            for event, after in zip(judged.happened, judged.afters, strict=True)
        ],
        "seconds": [
            {
                **{name: getattr(second, name) for name in second.__slots__ if name != "latencies"},
                **quantiles(sorted(second.latencies)),
            }
            for second in judged.seconds
        ],
    }
    return json.dumps(content, indent=1)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """How many there are, p50 and p99."""
    return {
        "count": len(values),
        "p50": percentile(values, 0.5),
        "p99": percentile(values, 0.99),
    }
