"""What a run found, for people and for spreadsheets."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.swarm.verdict import Row, Slo, judge

if (
    TYPE_CHECKING
):  # Locust patches the standard library when it is imported; what tells does without
    from locust.env import Environment
    from locust.stats import RequestStats, StatsEntry


def rows(stats: RequestStats) -> list[Row]:
    """Locust's statistics, deliveries first."""
    entries = sorted(stats.entries.values(), key=lambda entry: (entry.method, entry.name))
    entries.sort(key=lambda entry: not entry.method.endswith(" deliver"))
    return [_row(entry) for entry in entries if entry.num_requests or entry.num_failures]


def _row(entry: StatsEntry) -> Row:
    def within(share: float) -> float:
        # Locust rounds long times, so that 99 of 100 may take longer than the longest of them.
        longest = round(entry.max_response_time)
        return float(min(entry.get_response_time_percentile(share) or 0, longest))

    return Row(
        kind=entry.method,
        name=entry.name,
        requests=entry.num_requests,
        failures=entry.num_failures,
        rate=float(entry.total_rps),
        median=within(0.5),
        p95=within(0.95),
        p99=within(0.99),
        longest=float(entry.max_response_time),
    )


def markdown(
    found: Sequence[Row], reasons: Sequence[str], *, about: str, errors: Iterable[str]
) -> str:
    """The report; `about` is one line on what ran."""
    lines = [
        f"# Load: {'**failed**' if reasons else 'passed'}",
        "",
        about,
        "",
        *(f"- {reason}" for reason in reasons),
        *([""] if reasons else []),
        "| what | of | count | a second | failed | p50, ms | p95, ms | p99, ms | longest, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.kind} | {row.name} | {row.requests:,} | {row.rate:,.1f} | {row.failures:,} | "
        f"{row.median:g} | {row.p95:g} | {row.p99:g} | {row.longest:.0f} |"
        for row in found
    ]
    told = [f"- {error}" for error in errors]
    return "\n".join([*lines, *(["", "Failures:", "", *told] if told else []), ""])


def write(environment: Environment, *, length: float) -> tuple[str, list[str]]:
    """The report's text and why the run has failed; also files, where the options name a folder for them."""
    options, stats = environment.parsed_options, environment.stats
    assert options is not None
    found = rows(stats)
    reasons = judge(found, Slo(p99=options.slo_p99, errors=options.slo_errors))
    about = (
        f"{options.num_users or 'No fixed number of'} users, shape {options.shape}, {length:.0f} s, "
        f"{time.strftime('%Y-%m-%d %H:%M')}. Times are from publish to delivery for what is delivered."
    )
    errors = [
        f"{error.occurrences} x {error.method}, {error.name}: {error.error}"
        for error in stats.errors.values()
    ]
    text = markdown(found, reasons, about=about, errors=errors)
    if options.report:
        folder = Path(options.report)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.md").write_text(text, "utf-8")
        with (folder / "report.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(Row._fields)
            writer.writerows(found)
    return text, reasons
