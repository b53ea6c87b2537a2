"""Measure what a delivery, connection, handshake and publish cost here, beside other servers: `make bench`."""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from loadtest.bench import instructions, machine, report, selftest
from loadtest.bench.bench import Bench, Options, Sample, Scenario, busy
from loadtest.bench.remote import ROOT, RemoteError
from loadtest.bench.scenarios import fanout
from loadtest.bench.scenarios.crowd import Crowd
from loadtest.bench.scenarios.handshake import Handshake
from loadtest.bench.scenarios.hops import Hops
from loadtest.bench.scenarios.idle import Idle
from loadtest.bench.scenarios.memory import Memory
from loadtest.bench.scenarios.publish import Publish
from loadtest.bench.scenarios.shared import Shared
from loadtest.bench.scenarios.small import Small
from loadtest.bench.scenarios.stalled import Stalled
from loadtest.bench.scenarios.storm import Storm
from loadtest.bench.scenarios.unicast import Unicast
from loadtest.bench.scenarios.unwanted import Unwanted
from loadtest.swarm.numbers import positive, whole

SCENARIOS: list[Scenario] = [
    fanout.SLOW,
    fanout.FAST,
    fanout.CEILING,
    Memory(),
    Handshake(),
    Stalled(),
    Publish(),
    fanout.PROXY,
    Unicast(),
    Small(),
    Hops(),
    Unwanted(),
    Idle(),
    Shared(),
    Storm(),
    Crowd(),
]
PAGE = ROOT / "docs" / "performance.md"
_BUSY = 1.0


def main() -> None:
    """Measure, print the tables, and write them."""
    arguments = _arguments()
    _raise_file_limit()
    # Both end what was started; a shell in the background would have us ignore the first.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = arguments.var.resolve() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        rounds=arguments.rounds,
        scale=0.05 if arguments.quick else 1.0,
        seconds=1.0 if arguments.quick else arguments.seconds,
        only=arguments.only,
    )
    bench = Bench(options, folder)
    described = machine.describe()
    if busy() > _BUSY:
        bench.say(f"the machine is busy (load average {busy():.1f}): figures will be too high")
    selftest.check()
    bench.say("the load client counts right")
    if not instructions.counts():
        bench.say("left out: instructions, which this machine or its `perf` does not count")

    def keep(samples: list[Sample]) -> None:
        described["load_average_at_end"] = round(busy(), 2)
        _write(folder, described, samples)

    samples = _measure(bench, keep, verbose=arguments.verbose)
    text = report.markdown(described, samples, SCENARIOS)
    sys.stdout.write(text)
    if arguments.docs:
        PAGE.write_text(report.placed(PAGE.read_text("utf-8"), text), "utf-8")


def _measure(bench: Bench, keep: Callable[[list[Sample]], None], *, verbose: bool) -> list[Sample]:
    """All samples; what there is after each scenario is kept, so that a run that is cut short was not for nothing."""
    samples: list[Sample] = []
    try:
        for scenario in SCENARIOS:
            if bench.options.only and scenario.name not in bench.options.only:
                continue
            bench.say(f"{scenario.name}: {scenario.title}")
            began = time.monotonic()
            try:
                for sample in scenario.run(bench):
                    samples.append(sample)
                    if verbose:
                        bench.say(_line(sample))
            except (RemoteError, RuntimeError, OSError) as error:
                bench.say(f"{scenario.name} was given up: {error}")
            bench.say(f"{scenario.name}: {time.monotonic() - began:.0f} s")
            keep(samples)
    except KeyboardInterrupt:
        bench.say("interrupted; what was measured until now follows")
    finally:
        bench.stack.stop()
        keep(samples)
    return samples


def _write(folder: Path, described: dict[str, object], samples: list[Sample]) -> None:
    text = json.dumps(report.as_json(described, samples), indent=1)
    (folder / "result.json").write_text(text, "utf-8")
    (folder / "result.md").write_text(report.markdown(described, samples, SCENARIOS), "utf-8")


def _line(sample: Sample) -> str:
    values = " ".join(f"{name}={value:.4g}" for name, value in sample.values.items())
    return f"  {sample.round + 1} {sample.target}: {values}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    given = os.environ.get
    add = parser.add_argument
    # argparse checks a default that is text like an argument.
    add(
        "--rounds",
        type=whole,
        default=given("BENCH_ROUNDS") or "5",
        help="how often each is measured (BENCH_ROUNDS; 5)",
    )
    add(
        "--only",
        type=_scenarios,
        default=given("BENCH_ONLY") or "",
        help=f"some of {', '.join(_names())}, separated by commas (BENCH_ONLY; all)",
    )
    add(
        "--quick",
        action="store_true",
        default=bool(given("BENCH_QUICK")),
        help="a twentieth of the audiences, for a second each: for trying, the figures mean nothing (BENCH_QUICK=1)",
    )
    add("--seconds", type=positive, default=3.0, help="length of one measurement (3)")
    var = Path(given("OPENLINE_VAR") or "var")
    add("--var", type=Path, default=var, help="folder to write into (OPENLINE_VAR; var)")
    add("--docs", action="store_true", help="also write the tables into docs/performance.md")
    add("--verbose", action="store_true", help="a line for each sample")
    return parser.parse_args()


def _names() -> list[str]:
    return [scenario.name for scenario in SCENARIOS]


def _scenarios(text: str) -> tuple[str, ...]:
    wanted = tuple(filter(None, (name.strip() for name in text.split(","))))
    for name in wanted:
        if name not in _names():
            raise argparse.ArgumentTypeError(f"no scenario {name!r}; known: {', '.join(_names())}")
    return wanted


def _raise_file_limit() -> None:
    """Sockets are files, and children inherit what we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
