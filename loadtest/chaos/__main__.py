"""Faults under clients of both packages for a while, then a verdict; the exit status is 1 when anything is wrong.

    .venv/bin/python -m loadtest.chaos --minutes 30

The JavaScript package has to be built (`npm run build` in clients/js).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import signal
import sys
from pathlib import Path

from loadtest.chaos import report
from loadtest.chaos.checker import check
from loadtest.chaos.drive import Plan, Run, drive, say
from loadtest.chaos.figures import after
from loadtest.chaos.histories import read
from loadtest.chaos.schedule import KINDS, schedule
from loadtest.swarm.numbers import INTERRUPTED, positive, whole


def main() -> int:
    """Run, judge, keep the histories under the seed, and print."""
    arguments = _arguments()
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seconds = 60 * arguments.minutes
    faults = schedule(
        arguments.seed, seconds, kinds=arguments.faults or KINDS, every=arguments.fault_every
    )
    folder = arguments.var.resolve() / "chaos" / str(arguments.seed)
    shutil.rmtree(folder, ignore_errors=True)
    plan = Plan(
        javascript=arguments.javascript,
        python=arguments.python,
        publishers=arguments.publishers,
        every=arguments.publish_every,
        channels=arguments.channels,
        each=min(arguments.each, arguments.channels),
        ttl=arguments.ttl,
        direct=arguments.direct,
    )
    say(f"seed {arguments.seed}; histories go to {folder}")
    try:
        run = asyncio.run(drive(folder, plan, faults, seconds))
    except KeyboardInterrupt:
        say("stopped before the end")
        return INTERRUPTED
    return _judge(run, folder)


def _judge(run: Run, folder: Path) -> int:
    verdict = check(read(run.clients))
    (folder / "histories.json").write_text(
        json.dumps({"happened": run.happened, "clients": run.clients}), "utf-8"
    )
    text = report.text(verdict, after(run.happened, run.clients), run.clients)
    (folder / "report.md").write_text(text, "utf-8")
    sys.stdout.write(text)
    if not run.settled:
        say("not everything came to rest in time")
    return 0 if run.settled and not verdict.findings else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.chaos", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--minutes", type=positive, default=1.25, help="for how long (1.25)")
    add("--seed", type=int, default=random.randrange(1_000_000), help="repeats a schedule")  # noqa: S311
    add(
        "--faults", nargs="+", choices=KINDS, metavar="KIND", help=f"only these: {', '.join(KINDS)}"
    )
    add("--fault-every", type=positive, default=5.0, help="seconds between two faults (5)")
    add("--javascript", type=int, default=25, help="clients of @openline/client (25)")
    add("--python", type=int, default=25, help="clients of the package openline (25)")
    add("--publishers", type=whole, default=5, help="of each language (5)")
    add(
        "--publish-every",
        type=whole,
        default=250,
        help="milliseconds between two publishes of one (250)",
    )
    add("--channels", type=whole, default=3, help="how many there are (3)")
    add("--each", type=whole, default=3, help="how many of them a client reads (3)")
    add("--ttl", type=whole, default=60, help="seconds of a token (60)")
    add("--direct", action="store_true", help="no proxy between clients and nginx")
    add(
        "--var",
        type=Path,
        default=Path(os.environ.get("OPENLINE_VAR") or "var"),
        help="where it is kept (var)",
    )
    arguments = parser.parse_args()
    if arguments.direct and {"clients-reset", "clients-stall"} & {*(arguments.faults or KINDS)}:
        parser.error(
            "--direct leaves out the proxy that clients-reset and clients-stall need: name --faults"
        )
    return arguments


if __name__ == "__main__":
    sys.exit(main())
