"""Publishes a second against a running server, and what one costs this process in CPU.

Where `make run` runs, from the root of the repository; `taskset` holds it on one core:

    PYTHONPATH=clients/python/src taskset -c 0 .venv/bin/python clients/python/benchmarks/publishing.py

The server is that of `var/run.json`, or of OPENLINE_URL, OPENLINE_CLIENT_ID and OPENLINE_CLIENT_SECRET.
"""

# ruff: noqa: INP001 - a script
from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openline import AsyncPublisher, Draft, Publisher

ROOMS = [f"room:bench-{number}" for number in range(100)]
DATA = {
    "text": "a message of ordinary length, some hundred bytes of JSON with all that is around it",
    "n": 1,
}
ROUNDS = int(os.environ.get("ROUNDS", "5"))
MANY = int(os.environ.get("MESSAGES", "10000"))
EACH = 10
TASKS = MANY // EACH
ONE_BY_ONE = MANY // 20


def arguments() -> dict[str, Any]:
    """Where the server is, and who we are there."""
    if "OPENLINE_URL" in os.environ:
        return {}
    run = json.loads((Path(os.environ.get("OPENLINE_VAR", "var")) / "run.json").read_text("utf-8"))
    client = run["clients"][0]
    return {
        "url": run["front_door"],
        "client_id": client["client_id"],
        "client_secret": client["client_secret"],
    }


def tasks() -> int:
    """Many tasks publish one message after the other; what they publish at once is joined."""

    async def main() -> None:
        async with AsyncPublisher(**arguments()) as publisher:

            async def one(number: int) -> None:
                for _ in range(EACH):
                    await publisher.publish(ROOMS[number % len(ROOMS)], DATA)

            await asyncio.gather(*(one(number) for number in range(TASKS)))

    asyncio.run(main())
    return TASKS * EACH


def many() -> int:
    """One call of `publish_many`."""
    with Publisher(**arguments()) as publisher:
        outcomes = publisher.publish_many(
            Draft(ROOMS[number % len(ROOMS)], DATA) for number in range(MANY)
        )
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return MANY


def one_by_one() -> int:
    """One after the other, each in a call of its own."""
    with Publisher(**arguments()) as publisher:
        for number in range(ONE_BY_ONE):
            publisher.publish(ROOMS[number % len(ROOMS)], DATA)
    return ONE_BY_ONE


def measure(work: Callable[[], int]) -> str:
    """Medians of some rounds."""
    rates, costs = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        count = work()
        rates.append(count / (time.perf_counter() - wall))
        costs.append((time.process_time() - cpu) / count * 1e6)
    rate, cost = statistics.median(rates), statistics.median(costs)
    low, high = min(rates), max(rates)
    return f"{rate:,.0f} a second ({low:,.0f} to {high:,.0f}), {cost:.0f} us of CPU each"


for name, work in (
    (f"AsyncPublisher, {TASKS:,} tasks", tasks),
    ("Publisher.publish_many", many),
    ("Publisher.publish, one by one", one_by_one),
):
    sys.stdout.write(f"{name}: {measure(work)}\n")
