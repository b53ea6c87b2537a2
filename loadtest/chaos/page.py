"""A run as one page that needs nothing else: verdict, figures, a time line, what followed each fault. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtest.chaos.figures import percentile
from loadtest.chaos.judge import Judgement
from loadtest.chaos.report import HEADS, MUST_NOT_BE, latency, row

_WIDTH, _HEIGHT, _LEFT = 1000, 70, 60
_ROW = 16
_SHOWN = 200

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #57606a; --a: #0550ae; --b: #9a6700;
  --bad: #b3261e; --good: #1a7f37; --fault: #8250df; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --soft: #9198a1; --a: #79c0ff;
  --b: #e3b341; --bad: #ff8182; --good: #56d364; --fault: #d2a8ff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 68rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.passed { color: var(--good); } .failed { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem 1rem; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: right; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; }
code { font-size: .85rem; overflow-wrap: anywhere; }
svg { width: 100%; min-width: 40rem; height: auto; display: block; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.axis { stroke: var(--line); } .a { stroke: var(--a); } .b { stroke: var(--b); } .line { fill: none; stroke-width: 1.5; }
.bar { fill: var(--fault); } .mark { fill: var(--fault); opacity: .12; }
"""


def page(judged: Judgement, about: Mapping[str, Any]) -> str:
    """The page; `about` says what run it was: `seed`, `command` and whatever else is to be shown."""
    word = "passed" if judged.ok else "failed"
    body = [
        f"<h1>Chaos, seed {escape(str(about['seed']))}: <span class={word}>{word}</span></h1>",
        f"<p>{escape(_sentence(judged))}</p>",
        _facts({**_counts(judged), **{kind: judged.verdict.count(kind) for kind in MUST_NOT_BE}}),
        "<h2>Time line</h2>",
        f"<div class=scroll>{_lines(judged)}</div>",
        "<h2>After each fault</h2>",
        _table(HEADS, [row(after) for after in judged.afters]),
        *_findings(judged),
        "<h2>Which run this was</h2>",
        _facts({name: value for name, value in about.items() if name != "command"}),
        f"<p>The same again: <code>{escape(str(about['command']))}</code></p>",
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Chaos, seed {escape(str(about['seed']))}: {word}</title><style>{_STYLE}</style>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _sentence(judged: Judgement) -> str:
    told = sum(judged.verdict.flagged.values())
    silent = sum(judged.verdict.count(kind) for kind in ("missed", "doubled", "reordered"))
    return (
        f"{len(judged.happened)} faults in {len(judged.seconds)} seconds. {silent} messages were missed without a word, "
        f"doubled or out of order; clients were told of a loss {told} times."
    )


def _counts(judged: Judgement) -> dict[str, Any]:
    p50, p99 = latency(judged)
    return {**judged.counts, "latency p50": f"{p50:g} ms", "latency p99": f"{p99:g} ms"}


def _facts(facts: Mapping[str, Any]) -> str:
    shown = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(_number(value))}</dd></div>"
        for name, value in facts.items()
    )
    return f"<dl>{''.join(shown)}</dl>"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in cells) for cells in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _findings(judged: Judgement) -> list[str]:
    found = judged.verdict.findings
    if not found:
        return []
    rows = [
        [one.kind, one.client, one.channel, "" if one.offset is None else str(one.offset), one.text]
        for one in found[:_SHOWN]
    ]
    heads = ("finding", "client", "channel", "offset", "what")
    return [f"<h2>{len(found):,} findings</h2>", _table(heads, rows)]


# The time line: faults as bars, below them what is counted in each second


def _lines(judged: Judgement) -> str:
    seconds = judged.seconds
    faults, top = _faults(judged)
    latencies = [sorted(second.latencies) for second in seconds]
    charts: list[tuple[str, Sequence[float], Sequence[float]]] = [
        ("delivered/s", [s.delivered for s in seconds], []),
        ("acknowledged/s", [s.acked for s in seconds], []),
        (
            "latency, ms: p99, p50",
            [percentile(values, 0.99) for values in latencies],
            [percentile(values, 0.5) for values in latencies],
        ),
        ("told of a loss/s, refused/s", [s.flagged for s in seconds], [s.refused for s in seconds]),
        ("arrivals/s", [s.arrivals for s in seconds], []),
    ]
    parts = [faults]
    for place, (name, first, second) in enumerate(charts):
        parts.append(_chart(name, first, second, y=top + place * (_HEIGHT + 30)))
    height = top + len(charts) * (_HEIGHT + 30) + 20
    marks = "".join(
        f"<rect class=mark x={_x(judged, event.begun):.1f} y=0 height={height} "
        f"width={max(1.0, _x(judged, event.ended) - _x(judged, event.begun)):.1f} />"
        for event in judged.happened
    )
    ticks = "".join(
        f"<text x={_LEFT + _WIDTH * n / 10:.0f} y={height - 4} text-anchor=middle>{len(seconds) * n / 10:.0f} s</text>"
        for n in range(11)
    )
    size = f"0 0 {_LEFT + _WIDTH + 60} {height}"
    return (
        f"<svg viewBox='{size}' role=img aria-label='Faults, and what was counted in each second'>"
        f"{marks}{''.join(parts)}{ticks}</svg>"
    )


def _x(judged: Judgement, at: int) -> float:
    begun, ended = judged.window
    return _LEFT + _WIDTH * (at - begun) / max(1, ended - begun)


def _faults(judged: Judgement) -> tuple[str, int]:
    """A bar for each fault, each kind in a row of its own; and where they end."""
    kinds = list(dict.fromkeys(event.kind for event in judged.happened))
    parts = []
    for event in judged.happened:
        y = kinds.index(event.kind) * _ROW
        x = _x(judged, event.begun)
        width = max(3.0, _x(judged, event.ended) - x)
        name = f"{event.kind} {event.target}".strip()
        length = (event.ended - event.begun) / 1000
        parts.append(
            f"<rect class=bar x={x:.1f} y={y + 2} width={width:.1f} height={_ROW - 4} rx=2>"
            f"<title>{escape(name)}, {length:.1f} s</title></rect>"
        )
        left = x + width + 4
        anchor = "start"
        if left > _LEFT + _WIDTH - 60:
            left, anchor = x - 4, "end"
        parts.append(
            f"<text x={left:.1f} y={y + _ROW - 4} text-anchor={anchor}>{escape(event.kind)}</text>"
        )
    return "".join(parts), len(kinds) * _ROW + 30


def _chart(name: str, first: Sequence[float], second: Sequence[float], *, y: int) -> str:
    most = max([*first, *second, 1])
    lines = "".join(
        f"<polyline class='line {shade}' points='{_points(values, most, y)}' />"
        for shade, values in (("a", first), ("b", second))
        if values
    )
    return (
        f"<text x={_LEFT} y={y - 6}>{escape(name)}</text>"
        f"<text x={_LEFT - 6} y={y + 10} text-anchor=end>{most:,.0f}</text>"
        f"<line class=axis x1={_LEFT} x2={_LEFT + _WIDTH} y1={y + _HEIGHT} y2={y + _HEIGHT} />{lines}"
    )


def _points(values: Sequence[float], most: float, y: int) -> str:
    last = max(1, len(values) - 1)
    return " ".join(
        f"{_LEFT + _WIDTH * n / last:.1f},{y + _HEIGHT - _HEIGHT * value / most:.1f}"
        for n, value in enumerate(values)
    )
