"""From samples to medians, spread and ratios, as Markdown and JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from loadtest.bench.bench import Sample, Scenario
from loadtest.bench.rows import ROWS, Medians


class Spread(NamedTuple):
    """A value over the rounds."""

    median: float
    least: float
    most: float


Spreads = dict[tuple[str, str, str], Spread]

COLUMNS: dict[str, list[tuple[str, str, float]]] = {
    "delivery": [
        ("CPU a delivery, us", "cpu_us", 1),
        ("of a core", "core", 1),
        ("deliveries/s", "rate", 1),
        ("p50, ms", "p50_ms", 1),
        ("p99, ms", "p99_ms", 1),
        ("arrived", "arrived", 1),
        ("gaps", "gaps", 1),
        ("reorders", "reorders", 1),
        ("client, of a core", "client_core", 1),
    ],
    "memory": [("KB a connection", "bytes", 1 / 1024)],
    "handshake": [("CPU a handshake, us", "cpu_us", 1), ("handshakes/s", "a_second", 1)],
    "publish": [("CPU a message, us", "cpu_us", 1), ("messages/s", "a_second", 1)],
    "small": [
        ("CPU a message, us", "cpu_us", 1),
        ("messages/s", "a_second", 1),
        ("messages a second of CPU", "a_core", 1),
        ("p50, ms", "p50_ms", 1),
        ("p99, ms", "p99_ms", 1),
        ("arrived", "arrived", 1),
        ("gaps", "gaps", 1),
        ("reorders", "reorders", 1),
        ("instructions a message, thousands", "instructions", 1 / 1000),
    ],
    "hops": [
        (f"{hop}, {share}, us", f"{hop.lower()}_{share}", 1.0)
        for share in ("p50", "p99")
        for hop in ("call", "publisher", "Redis", "gateway", "all")
    ]
    + [("seen everywhere", "arrived", 1.0)],
    "idle": [("CPU a second, ms", "cpu_ms", 1)],
    "unwanted": [
        ("Redis, us a message", "redis_us", 1),
        ("each gateway, us a message", "gateway_us", 1),
    ],
    "storm": [
        ("seconds until all are back", "seconds", 1),
        ("CPU a return, us", "cpu_us", 1),
        ("failed", "failed", 1),
        ("p50 of those who stayed, ms", "p50_ms", 1),
        ("p99, ms", "p99_ms", 1),
        ("longest, ms", "max_ms", 1),
        ("arrived", "arrived", 1),
    ],
    "crowd": [
        ("KB a connection", "bytes", 1 / 1024),
        ("publish call to the last reader, ms", "max_ms", 1),
        ("longest answer to a ping meanwhile, ms", "pause_ms", 1),
        ("arrived", "arrived", 1),
        ("gaps", "gaps", 1),
    ],
}
"""Heading, value and factor by scenario; scenarios without an entry of their own show deliveries."""


def spreads(samples: Iterable[Sample]) -> Spreads:
    """Median, least and most of each value over the rounds."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for sample in samples:
        for name, value in sample.values.items():
            found.setdefault((sample.scenario, sample.target, name), []).append(value)
    return {
        key: Spread(statistics.median(values), min(values), max(values))
        for key, values in found.items()
    }


def medians(of: Spreads) -> Medians:
    """The medians alone."""
    return {key: spread.median for key, spread in of.items()}


def as_json(machine: Mapping[str, Any], samples: Sequence[Sample]) -> dict[str, Any]:
    """Everything: what was measured on, each sample, medians and the rows."""
    found = spreads(samples)
    middle = medians(found)
    return {
        "machine": dict(machine),
        "rows": [
            {
                "what": row.what,
                "against": row.against,
                "figure": figure,
                "must": row.must,
                "aim": row.aim,
                "met": figure is not None and row.met(figure),
            }
            for row in ROWS
            for figure in (row.figure(middle),)
        ],
        "spreads": [
            {"scenario": key[0], "target": key[1], "value": key[2], **spread._asdict()}
            for key, spread in found.items()
        ],
        "samples": [sample._asdict() for sample in samples],
    }


def markdown(
    machine: Mapping[str, Any], samples: Sequence[Sample], scenarios: Sequence[Scenario]
) -> str:
    """The rows, then a table for each scenario that was measured."""
    found = spreads(samples)
    rounds = max((sample.round for sample in samples), default=-1) + 1
    parts = [_machine(machine, rounds), _rows(medians(found))]
    parts += [
        _scenario(scenario, found)
        for scenario in scenarios
        if any(key[0] == scenario.name for key in found)
    ]
    return "\n\n".join(parts) + "\n"


def _machine(machine: Mapping[str, Any], rounds: int) -> str:
    return (
        f"Revision {machine['revision']}; {machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}, Python {machine['python']}; "
        f"load average {machine['load_average']} before the start"
        f"{_at_end(machine)}; medians of {rounds} rounds."
    )


def _at_end(machine: Mapping[str, Any]) -> str:
    """The bench's own work is in it: far above the cores it tells of somebody else's."""
    load = machine.get("load_average_at_end")
    return "" if load is None else f" and {load} at the end"


def _rows(middle: Medians) -> str:
    lines = [
        "| scenario | against | measured | must | aim | |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        figure = row.figure(middle)
        if figure is None:
            shown, verdict = "not measured", ""
        else:
            shown, verdict = f"{figure:.2f}{row.unit}", "met" if row.met(figure) else "**not met**"
        limit = "at least" if row.more else "at most"
        lines.append(
            f"| {row.what} | {row.against} | {shown} | {limit} {row.must:g}{row.unit} "
            f"| {row.aim:g}{row.unit} | {verdict} |"
        )
    return "\n".join(lines)


def _scenario(scenario: Scenario, found: Spreads) -> str:
    columns = COLUMNS.get(scenario.name, COLUMNS["delivery"])
    names = list(dict.fromkeys(key[1] for key in found if key[0] == scenario.name))
    lines = [
        f"**{scenario.name}**: {scenario.title}.",
        "",
        "| | " + " | ".join(heading for heading, _, _ in columns) + " | where |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for name in names:
        cells = [
            _cell(found[scenario.name, name, value], factor)
            if (scenario.name, name, value) in found
            else ""
            for _, value, factor in columns
        ]
        lines.append(
            f"| {name} | " + " | ".join([*cells, _where(scenario.name, name, found)]) + " |"
        )
    return "\n".join(lines)


def _cell(spread: Spread, factor: float) -> str:
    middle, least, most = (_number(value * factor) for value in spread)
    return middle if least == most else f"{middle} ({least} to {most})"


def _where(scenario: str, target: str, found: Spreads) -> str:
    """The share of each program, where there are several."""
    parts = [
        (key[2].split(" ", 1)[1], spread.median / (1024 if key[2].startswith("bytes") else 1))
        for key, spread in found.items()
        if key[:2] == (scenario, target) and key[2].startswith(("cpu_us ", "cpu_ms ", "bytes "))
    ]
    return ", ".join(f"{name} {_number(value)}" for name, value in parts) if len(parts) > 1 else ""


def _number(value: float) -> str:
    if value >= 1000:  # noqa: PLR2004 - thousands need no decimals
        return f"{value:,.0f}"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004


def placed(page: str, block: str, *, name: str = "bench") -> str:
    """The page with the block between its two markers. Raises ValueError when it has none."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no {begin} ... {end} in the page")
    return f"{before}{begin}\n\n{block}\n{end}{after}"
