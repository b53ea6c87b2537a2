"""Measure how much a gateway carries here, and plan for the size that you name: `make capacity`."""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import signal
import sys
import time
from functools import partial
from pathlib import Path

from loadtest.bench import machine, selftest
from loadtest.bench.remote import ROOT
from loadtest.capacity import charts, report
from loadtest.capacity.figures import (
    Crowd,
    Figures,
    Slo,
    dearest,
    delivery_us,
    knee,
    message_us,
    per_connection_kb,
)
from loadtest.capacity.sizing import Wish, plan
from loadtest.capacity.trial import Settings, Trial
from loadtest.swarm.numbers import INTERRUPTED, positive, whole

_FILES_OF_ITS_OWN = 600


def main() -> None:
    """Measure, print the report, and write it."""
    arguments = _arguments()
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = arguments.var.resolve() / "capacity"
    folder.mkdir(parents=True, exist_ok=True)
    most = min(arguments.most, files - _FILES_OF_ITS_OWN)
    if most < arguments.most:
        _say(f"this machine gives a process {files:,} files: {most:,} connections at the most")
    settings = Settings(
        audience=arguments.audience,
        readers=arguments.readers,
        most=most,
        each=arguments.each,
        seconds=arguments.seconds,
        slo=Slo(arguments.slo_p99),
    )
    described = machine.describe()
    try:
        selftest.check()
        result = _measure(folder, settings, arguments=arguments, described=described)
    except KeyboardInterrupt:
        _say("stopped before the end: no report was written")
        raise SystemExit(INTERRUPTED) from None
    images = ROOT / "docs" / "images" if arguments.docs else folder
    charts.deliveries(result.steps, result.slo, images / "capacity-deliveries.png")
    charts.connections(result.crowds, images / "capacity-connections.png")
    (folder / "report.json").write_text(report.as_json(result), "utf-8")
    text = report.markdown(result, images="images" if arguments.docs else ".")
    (ROOT / "docs" / "capacity.md" if arguments.docs else folder / "report.md").write_text(
        text, "utf-8"
    )
    sys.stdout.write(text)


def _measure(
    folder: Path, settings: Settings, *, arguments: argparse.Namespace, described: dict[str, object]
) -> report.Result:
    trial = Trial(folder, settings, say=_say)
    try:
        base = trial.base_mb()
        steps = list(trial.deliveries())
        nginx_us, nginx_kb = trial.nginx()
        crowds = list(trial.connections())
        reader_core = trial.reader_core()
    finally:
        trial.stop()
    top = knee(steps, settings.slo) or steps[0]
    programs = {"entry_us": "gateway-2", "publish_us": "publisher", "redis_us": "redis"}
    costs = {"delivery_us": dearest(steps, settings.slo, delivery_us)} | {
        name: dearest(steps, settings.slo, partial(message_us, idle=trial.idle, program=program))
        for name, program in programs.items()
    }
    figures = Figures(
        knee=top.rate,
        knee_core=top.cores["gateway"],
        delivery_us=costs["delivery_us"].us,
        entry_us=costs["entry_us"].us,
        publish_us=costs["publish_us"].us,
        redis_us=costs["redis_us"].us,
        reader_core=reader_core,
        nginx_us=nginx_us,
        nginx_kb=nginx_kb,
        handshake_us=crowds[-1].handshake_us,
        connection_kb=per_connection_kb(crowds, "gateway"),
        redis_kb=per_connection_kb(crowds, "redis"),
        gateway_mb=base,
        connections=_held(crowds, settings.slo),
        capped=_held(crowds, settings.slo) >= settings.most,
    )
    wish = Wish(
        arguments.size,
        arguments.each,
        arguments.audience,
        servers=arguments.servers,
        partitions=arguments.partitions,
    )
    return report.Result(
        machine=described,
        command=_command(),
        slo=settings.slo,
        steps=steps,
        crowds=crowds,
        readers=settings.readers,
        idle=trial.idle,
        costs=costs,
        figures=figures,
        wish=wish,
        plan=plan(figures, wish),
    )


def _held(crowds: list[Crowd], slo: Slo) -> int:
    return max((crowd.connections for crowd in crowds if not slo.broken(crowd)), default=1)


def _command() -> str:
    given = [
        f"{name}={value}" for name, value in os.environ.items() if name.startswith("CAPACITY_")
    ]
    return " ".join([*given, "make capacity", *_quoted(sys.argv[1:])])


def _quoted(arguments: list[str]) -> list[str]:
    return [f'CAPACITY="{shlex.join(arguments)}"'] if arguments else []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make capacity", description=__doc__)
    given, add = os.environ.get, parser.add_argument
    add(
        "--for",
        dest="size",
        type=whole,
        # argparse checks a default that is text like an argument.
        default=given("CAPACITY_FOR") or "1000000",
        help="connections to plan for (CAPACITY_FOR; 1000000)",
    )
    add("--each", type=positive, default=0.1, help="messages a second that each gets (0.1)")
    add(
        "--servers",
        type=int,
        choices=range(257),
        metavar="N",
        default=0,
        help="Redis servers to plan with, 1 to 256 (as many as it takes)",
    )
    add("--partitions", type=whole, default=1, help="partitions on each of them (1)")
    add("--audience", type=whole, default=100, help="readers of a message (100)")
    add(
        "--slo-p99",
        type=positive,
        default=250.0,
        help="milliseconds from publish to delivery (250)",
    )
    add("--readers", type=whole, default=2000, help="connections while deliveries grow (2000)")
    add("--most", type=whole, default=18_000, help="connections to go up to (18000)")
    add("--seconds", type=positive, default=5.0, help="length of each step (5)")
    var = Path(given("OPENLINE_VAR") or "var")
    add("--var", type=Path, default=var, help="folder to write into (OPENLINE_VAR; var)")
    add("--docs", action="store_true", help="write docs/capacity.md and its pictures instead")
    arguments = parser.parse_args()
    if arguments.audience > min(arguments.readers, arguments.most):
        parser.error(
            f"argument --audience: a message cannot have {arguments.audience:,} readers of "
            f"{min(arguments.readers, arguments.most):,} connections; raise --readers and --most"
        )
    return arguments


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
