"""Faults under clients of both packages and plain ones, then a verdict; the exit status is 1 when anything is wrong.

    make chaos CHAOS="--minutes 3 --seed 7"

The JavaScript package has to be built (`npm run build` in clients/js), which `make chaos` sees to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.chaos import faults, kept, page, report, stores
from loadtest.chaos.drive import SETTLE, Plan, Run, drive, say
from loadtest.chaos.judge import Allowance, judge
from loadtest.chaos.schedule import Fault, schedule
from loadtest.chaos.system import running
from loadtest.chaos.target import attached
from loadtest.chaos.without import RULES
from loadtest.swarm.numbers import INTERRUPTED, positive, whole

_GATEWAYS = 2
_REST_SECONDS = 30.0
"""In which all has to come to rest after each fault, where that is asked for."""


def main() -> int:
    """Run, judge, keep the histories under the seed, and print."""
    arguments = _arguments()
    if arguments.list_faults:
        acts = faults.ACTS.values()
        lines = [f"{act.name:18} {act.__doc__} ({', '.join(sorted(act.stores))})\n" for act in acts]
        sys.stdout.write("".join(lines))  # at once: `head` may have read enough after one line
        return 0
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seconds = 60 * arguments.minutes
    planned = schedule(
        arguments.seed, seconds, kinds=_kinds(arguments), every=arguments.fault_every
    )
    folder = arguments.var.resolve() / "chaos" / str(arguments.seed)
    kept.begin(folder)
    say(f"seed {arguments.seed}; histories and report go to {folder}")
    try:
        run = asyncio.run(_run(folder, arguments, planned, seconds=seconds))
    except KeyboardInterrupt:
        say("stopped before the end: there is no verdict")
        return INTERRUPTED
    return _judge(run, folder, _about(arguments))


async def _run(
    folder: Path, arguments: argparse.Namespace, planned: Sequence[Fault], *, seconds: float
) -> Run:
    plan = Plan(
        javascript=arguments.javascript,
        python=arguments.python,
        raw=arguments.raw,
        publishers=arguments.publishers,
        every=arguments.publish_every,
        channels=arguments.channels,
        each=min(arguments.each, arguments.channels),
        ttl=arguments.ttl,
        direct=arguments.direct,
        rests=arguments.rests,
        settle=_REST_SECONDS if arguments.rests else SETTLE,
    )
    if arguments.target:
        async with attached(arguments.target, _login()) as system:
            return await drive(system, plan, planned, seconds, passes=_passes)
    async with running(
        folder, store=arguments.store, engine=arguments.engine, without=arguments.without or ""
    ) as system:
        return await drive(system, plan, planned, seconds, passes=_passes)


def _passes(run: Run) -> bool:
    return judge(asdict(run), _allowance).ok


def _judge(run: Run, folder: Path, about: dict[str, Any]) -> int:
    content = asdict(run)
    (folder / "histories.json").write_text(json.dumps(content), "utf-8")
    judged = judge(content, _allowance)
    text = report.text(judged, command=about["command"])
    (folder / "report.md").write_text(text, "utf-8")
    (folder / "report.json").write_text(report.as_json(judged, about), "utf-8")
    (folder / "report.html").write_text(page.page(judged, about), "utf-8")
    sys.stdout.write(text)
    if not run.settled:
        say("not everything came to rest in time")
    say(f"the report is {folder / 'report.html'}")
    kept.end(folder, ok=judged.ok)
    return 0 if judged.ok else 1


def _allowance(kind: str) -> Allowance:
    cost = faults.ACTS[kind].cost
    return Allowance(cost.loses, cost.resets, cost.heals, cost.empties, cost.keeps)


def _about(arguments: argparse.Namespace) -> dict[str, Any]:
    given = shlex.join(_options_again(arguments))
    return {
        "seed": arguments.seed,
        "command": f"make chaos CHAOS={shlex.quote(given)}",
        "store": arguments.target or f"{arguments.store}, {arguments.engine}",
        "without": arguments.without or "nothing",
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
        "load average at the end": f"{os.getloadavg()[0]:.1f}",
    }


def _options_again(arguments: argparse.Namespace) -> list[str]:
    """What was given, with the seed, whoever chose it."""
    given = [part for part in sys.argv[1:] if not part.startswith("--seed=")]
    if "--seed" in given:
        place = given.index("--seed")
        del given[place : place + 2]
    return [*given, "--seed", str(arguments.seed)]


def _login() -> dict[str, str]:
    """Who publishes to a system that runs elsewhere. Ends the program when it was not said."""
    found = {
        name: os.environ.get(f"CHAOS_{name.upper()}", "") for name in ("client_id", "client_secret")
    }
    if not all(found.values()):
        say("--target needs CHAOS_CLIENT_ID and CHAOS_CLIENT_SECRET: a client with every scope")
        sys.exit(2)
    return found


def _kinds(arguments: argparse.Namespace) -> list[Any]:
    store = None if arguments.target else arguments.store
    found = faults.kinds(store, gateways=_GATEWAYS, only=frozenset(arguments.faults or ()))
    if arguments.direct or (arguments.target or "").startswith("https:"):
        found = [kind for kind in found if not kind.name.startswith("clients-")]
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.chaos", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--minutes", type=positive, default=3.0, help="for how long (3)")
    add("--seed", type=int, default=random.randrange(1_000_000), help="repeats a schedule")  # noqa: S311
    add(
        "--faults",
        nargs="+",
        choices=faults.ACTS,
        metavar="FAULT",
        help="only these (all that fit); --list-faults tells their names",
    )
    add("--list-faults", action="store_true", help="say what can happen, and end")
    add("--fault-every", type=positive, help="seconds between two faults (4, with --rests 1)")
    add("--store", choices=stores.KINDS, help="what holds the messages (standalone)")
    add("--engine", default="redis", help="redis, valkey (of the lock file) or a server's path")
    add(
        "--target",
        metavar="URL",
        help="a system that runs; needs CHAOS_CLIENT_ID and CHAOS_CLIENT_SECRET",
    )
    add(
        "--without",
        choices=RULES,
        metavar="RULE",
        help=f"break one of {', '.join(RULES)}, with the store and the faults that bring it to light, and --rests",
    )
    add(
        "--rests",
        action="store_true",
        help="stop publishing while each fault lasts, and judge when all is at rest; the first finding ends the run",
    )
    add("--javascript", type=int, default=25, help="clients of @openline/client (25)")
    add("--python", type=int, default=25, help="clients of the package openline (25)")
    add("--raw", type=int, default=12, help="clients without a package (12)")
    add("--publishers", type=whole, default=5, help="of each of the three (5)")
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
    arguments = _fitting(parser.parse_args())
    if arguments.direct and any(name.startswith("clients-") for name in arguments.faults or ()):
        parser.error("--direct leaves out the proxy that clients-... need: name other --faults")
    if not arguments.list_faults and not _kinds(arguments):
        parser.error(
            "none of these faults can happen to such a system: --list-faults tells which can"
        )
    return arguments


def _fitting(arguments: argparse.Namespace) -> argparse.Namespace:
    """With what is taken where nothing else was given; a broken rule needs something of its own to come to light."""
    if arguments.without:
        rule = RULES[arguments.without]
        arguments.store = arguments.store or rule.store
        arguments.faults = arguments.faults or list(rule.faults)
        arguments.rests = True
    arguments.store = arguments.store or "standalone"
    arguments.fault_every = arguments.fault_every or (1.0 if arguments.rests else 4.0)
    return arguments


if __name__ == "__main__":
    sys.exit(main())
