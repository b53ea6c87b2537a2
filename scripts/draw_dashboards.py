"""Draws the dashboards as pictures from a running Prometheus: `python -m scripts.draw_dashboards`.

The same queries as Grafana's, at the same places; for the docs, and for a look where no Grafana runs.

    --prometheus URL   where to ask; http://127.0.0.1:9090 unless given
    --minutes N        how far back; 60 unless given
    --rate DURATION    what rates are taken over; 1m unless given
    --folder FOLDER    where dashboard-NAME.png go; docs/images unless given
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx2
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BOARDS = ROOT / "deploy" / "grafana" / "dashboards"
COLUMNS, INCH, DPI = 24, 0.27, 75
COLOURS = {
    "green": "#37872d",
    "yellow": "#e0b400",
    "orange": "#fa6400",
    "red": "#c4162a",
    "blue": "#1f60c4",
}
LINES = ("#1f60c4", "#fa6400", "#37872d", "#8f3bb8", "#c4162a", "#0e8a9a", "#8a6d3b", "#777777")
HOUR = 3600
MOST = 8
"""Series that a panel's legend names."""

Series = list[tuple[str, list[float], list[float]]]
"""Name, times and values of each line."""


class Source:
    """Prometheus, asked for the panels' queries over a stretch of time."""

    def __init__(self, url: str, *, seconds: float, rate: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=30)
        self.end = time.time()
        self.begin = self.end - seconds
        self._step = max(1.0, seconds / 150)
        self._rate = rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def series(self, panel: dict[str, Any]) -> Series:
        """The lines of a panel."""
        found: Series = []
        for target in panel["targets"]:
            for line in self._ask(target["expr"]):
                times = [float(at) for at, _ in line["values"]]
                values = [float(value) for _, value in line["values"]]
                found.append((_legend(target["legendFormat"], line["metric"]), times, values))
        return sorted(found, key=_highest, reverse=True)

    def rows(self, panel: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
        """Head and body of a table: queries joined by instance, as Grafana's merge does."""
        renamed = panel["transformations"][1]["options"]["renameByName"]
        found: dict[str, dict[str, str]] = {}
        for target in panel["targets"]:
            heading = renamed[f"Value #{target['refId']}"]
            for line in self._ask(target["expr"]):
                row = found.setdefault(line["metric"]["instance"], {})
                labels = {k: v for k, v in line["metric"].items() if k != "__name__"}
                row.update(labels | {heading: f"{float(line['values'][-1][1]):.6g}"})
        hidden = panel["transformations"][1]["options"]["excludeByName"]
        every = dict.fromkeys(head for row in found.values() for head in row)
        heads = [head for head in every if head not in hidden]
        return heads, [[row.get(head, "") for head in heads] for row in found.values()]

    def _ask(self, expression: str) -> list[dict[str, Any]]:
        for name, value in {
            "$__rate_interval": self._rate,
            "$namespace": ".*",
            "$node": ".*",
        }.items():
            expression = expression.replace(name, value)
        span = {"start": self.begin, "end": self.end, "step": self._step}
        answer = self._http.get("/api/v1/query_range", params={"query": expression, **span})
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


def _legend(template: str, labels: dict[str, str]) -> str:
    if template == "__auto":
        return next(iter(labels.values()), "")
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return template


def _highest(line: tuple[str, list[float], list[float]]) -> float:
    return max((value for value in line[2] if not math.isnan(value)), default=0.0)


def draw(board: dict[str, Any], source: Source) -> bytes:
    """A dashboard as PNG."""
    panels = board["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) + 2
    figure = Figure(figsize=(15, rows * INCH), dpi=DPI, facecolor="white")
    figure.text(0.012, 1 - 0.9 / rows, board["title"], fontsize=14, weight="bold")
    for panel in panels:
        place = panel["gridPos"]
        top = 1 - (place["y"] + 2) / rows
        left, width, height = place["x"] / COLUMNS, place["w"] / COLUMNS, place["h"] / rows
        if panel["type"] == "row":
            figure.text(0.012, top - 0.75 * height, panel["title"], fontsize=11, color="#555555")
            continue
        pad = (0.035, 0.012) if panel["type"] == "timeseries" else (0.006, 0.006)
        below = 0.24 * height if panel["type"] == "timeseries" else 0.4 / rows
        axes = figure.add_axes(
            (left + pad[0], top - height + below, width - sum(pad), height - below - 1.2 / rows)
        )
        axes.set_title(panel["title"], fontsize=9, loc="left", pad=3)
        _KINDS[panel["type"]](axes, panel, source)
    return _png(figure)


def _number(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    lines = source.series(panel)
    axes.set(xticks=[], yticks=[])
    if not lines:
        axes.text(0.5, 0.5, "none", ha="center", va="center", fontsize=15)
        return
    last = [(name, values[-1]) for name, _, values in lines]
    axes.set_facecolor(_colour(min(value for _, value in last), defaults["thresholds"]["steps"]))
    named = panel["options"]["textMode"] == "value_and_name"
    for place, (name, value) in enumerate(last, 1):
        text = _unit(value, defaults["unit"])
        axes.text(
            (place - 0.5) / len(last),
            0.5,
            f"{text}\n{name}" if named else text,
            ha="center",
            va="center",
            color="white",
            fontsize=10 if named else 19,
        )


def _colour(value: float, steps: list[dict[str, Any]]) -> str:
    passed = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS[passed[-1]]


def _lines(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    lines = source.series(panel)
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    if stacked and lines:
        _stack(axes, lines)
    for place, (name, times, values) in enumerate([] if stacked else lines):
        label = name[:34] if place < MOST else None
        color = LINES[place % len(LINES)]
        axes.plot([_when(at) for at in times], values, lw=1, color=color, label=label)
    top = max((_highest(line) for line in lines), default=0.0)
    for step in defaults["thresholds"]["steps"]:
        if step["value"] and step["value"] < top * 4:
            axes.axhline(step["value"], ls="--", lw=0.8, color=COLOURS[step["color"]])
            top = max(top, step["value"])
    axes.set_ylim(0, None if stacked else top * 1.15 or 1)
    _dress(axes, source, unit=defaults["unit"])
    if lines:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(0, -0.13),
            ncols=3,
            fontsize=6.5,
            frameon=False,
            borderpad=0,
            handlelength=1,
            columnspacing=1,
        )


def _dress(axes: Axes, source: Source, *, unit: str) -> None:
    """Scales and grid."""
    axes.set_xlim(_when(source.begin), _when(source.end))
    axes.yaxis.set_major_formatter(lambda value, _: _unit(value, unit))
    ends = source.end - source.begin
    axes.set_xticks([_when(source.begin + ends * part) for part in (0.1, 0.5, 0.9)])
    pattern = "%H:%M:%S" if ends < HOUR else "%H:%M"
    axes.xaxis.set_major_formatter(dates.DateFormatter(pattern))  # type: ignore[no-untyped-call]
    axes.tick_params(labelsize=7, length=2)
    axes.grid(visible=True, lw=0.4, color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)


def _stack(axes: Axes, lines: Series) -> None:
    times = sorted({at for _, found, _ in lines for at in found})
    heights = []
    for _, found, values in lines:
        known = dict(zip(found, values, strict=True))
        heights.append([known.get(at, 0.0) for at in times])
    when = [_when(at) for at in times]
    axes.stackplot(when, heights, labels=[name for name, *_ in lines], colors=LINES, alpha=0.6)


def _table(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    heads, body = source.rows(panel)
    axes.axis("off")
    if body:
        made = axes.table(cellText=body, colLabels=heads, loc="upper center", cellLoc="left")
        made.auto_set_font_size(value=False)
        made.set_fontsize(9)
        made.scale(1, 1.4)


_KINDS: dict[str, Callable[[Axes, dict[str, Any], Source], None]] = {
    "stat": _number,
    "timeseries": _lines,
    "table": _table,
}


def _unit(value: float, unit: str) -> str:
    if math.isnan(value):
        return "none"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit in ("bytes", "Bps"):
        return f"{value / 2**20:.3g} MiB" + ("/s" if unit == "Bps" else "")
    text = f"{value / 1000:.3g}k" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004
    return text + ("/s" if unit in ("cps", "reqps", "ops") else "")


def _when(at: float) -> float:
    return float(dates.date2num(datetime.fromtimestamp(at, UTC)))  # type: ignore[no-untyped-call]


def _png(figure: Figure) -> bytes:
    """Few colours: a quarter of the bytes."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description="Draw the dashboards from a running Prometheus.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", default="1m")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "images")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with Source(given.prometheus, seconds=given.minutes * 60, rate=given.rate) as source:
        for file in sorted(BOARDS.glob("*.json")):
            picture = draw(json.loads(file.read_text("utf-8")), source)
            (given.folder / f"dashboard-{file.stem}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
