"""Flood a running Openline in every way that one address may, and measure what a bystander feels.

Start the system with `make run` first, then `python -m loadtest.floods`. Prints a table in Markdown; --json writes the
figures to a file as well. In each round the calm bystander is measured right before the flood.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtest.bench import machine
from loadtest.floods import access as accesses
from loadtest.floods import kinds
from loadtest.floods.access import Access
from loadtest.floods.bystander import Bystander, Trips
from loadtest.floods.flood import Flood, flooding
from loadtest.swarm.numbers import positive
from loadtest.swarm.target import TargetError

_SETTLING = 0.7
"""Seconds for a flood to begin, and for the system to come to rest after it."""

_WAYS = {"direct": "directly", "nginx": "through nginx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A flood by one way; times in milliseconds, `calm_p99` without the flood."""

    flood: str
    way: str
    calm_p99: float
    p50: float
    p99: float
    longest: float
    lost: str


def main() -> None:
    """Run the floods that were asked for, one after the other."""
    arguments = _arguments()
    try:
        access = accesses.find()
    except TargetError as error:
        sys.exit(str(error))
    rows = []
    for flood in kinds.all_of(access):
        for way in arguments.ways:
            if arguments.only in flood.name and (way, flood.service) != ("direct", "front_door"):
                rows.append(_measure(access, flood, way, arguments.seconds))
                sys.stderr.write(f"{_line(rows[-1])}\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")
    sys.stdout.write(_table(rows))


def _measure(access: Access, flood: Flood, way: str, seconds: float) -> Row:
    front = way == "nginx"
    token = access.token("bystander")
    with Bystander(*access.at("front_door" if front else "gateway"), token) as bystander:
        calm = bystander.measure(seconds / 2)
        with flooding(flood, *access.at("front_door" if front else flood.service)):
            time.sleep(_SETTLING)
            trips = bystander.measure(seconds)
    time.sleep(_SETTLING)
    return _row(flood, way, calm, trips)


def _row(flood: Flood, way: str, calm: Trips, trips: Trips) -> Row:
    return Row(
        flood=flood.name,
        way=way,
        calm_p99=round(calm.quantile(0.99), 1),
        p50=round(trips.quantile(0.5), 1),
        p99=round(trips.quantile(0.99), 1),
        longest=round(max(trips.times), 1),
        lost=trips.lost,
    )


def _table(rows: list[Row]) -> str:
    about = machine.describe()
    head = (
        f"Revision {about['revision']}; {about['cores']} cores of {about['processor']}, Linux {about['kernel']}, "
        f"Python {about['python']}; load average {about['load_average']} at the end.\n\n"
        "| flood | way | calm p99, ms | p50 | p99 | longest |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(f"{_line(row)}\n" for row in rows)


def _line(row: Row) -> str:
    lost = f" ({row.lost})" if row.lost else ""
    return f"| {row.flood} | {_WAYS[row.way]} | {row.calm_p99} | {row.p50} | {row.p99} | {row.longest}{lost} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.floods", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=positive, default=4.0, help="length of each flood (4)")
    add("--only", default="", help="floods with this text in their name (all)")
    add("--json", type=Path, help="file to write the figures to")
    add("--way", dest="ways", nargs="+", choices=_WAYS, default=list(_WAYS), help="one of both")
    return parser.parse_args()


if __name__ == "__main__":
    main()
