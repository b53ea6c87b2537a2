"""`make load`: Locust headless against the system on this machine, or the one at LOAD_HOST, and a report of it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from loadtest.bench.openline import Stack
from loadtest.bench.remote import ROOT
from loadtest.swarm.numbers import INTERRUPTED
from loadtest.swarm.target import run_file
from loadtest.swarm.watch import Watch

_USUAL = ("-u", "200", "-r", "50", "-t", "60s", "--only-summary", "--loglevel", "WARNING")
_LOCUST = (sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"))


def main() -> int:
    """Load what is up, or start a system for it; Locust's exit status: 1 when gaps, latency or errors were too much."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & {*arguments}:
        _help()
    _raise_file_limit()
    # Both end what was started; a shell in the background would have us ignore the first.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(os.environ.get("OPENLINE_VAR") or "var").resolve() / "load"
    try:
        if not _understood(arguments):
            return 2
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            run = stack.enter_context(_system(folder))
            watch = stack.enter_context(Watch(run)) if run else None
            status = _locust(folder, arguments, run, watch)
    except KeyboardInterrupt:
        _say("stopped before the load began")
        return INTERRUPTED
    report = folder / "report.md"
    if not report.exists():  # Locust has said why
        return status
    if watch is not None:
        watch.write(folder / "processes.csv")
        report.write_text(report.read_text("utf-8") + watch.markdown(), "utf-8")
        sys.stdout.write(watch.markdown())
    _say(f"report: {folder}/report.md, .html, .csv")
    return status


def _understood(arguments: Sequence[str]) -> bool:
    """Whether Locust takes the arguments; if not it says so, and nothing needs to be started for that."""
    command = [*_LOCUST, "--list", "--loglevel", "WARNING", *arguments]
    return not subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False
    ).returncode


@contextlib.contextmanager
def _system(folder: Path) -> Iterator[Path | None]:
    """What is loaded: its `run.json`, None when it runs elsewhere."""
    if host := os.environ.get("LOAD_HOST"):
        _say(f"loading {host}")
        yield None
    elif _is_up(run_file()):
        _say(f"loading what `make run` has started, with its limits ({run_file()})")
        yield run_file().resolve()
    else:
        _say("nothing is up here: starting a system for this load, without limits")
        started = Stack(folder / "openline", gateways=2)
        try:
            started.start()
            yield started.folder / "var" / "run.json"
        finally:
            started.stop()


def _is_up(file: Path) -> bool:
    try:
        os.kill(json.loads(file.read_text("utf-8"))["pids"]["supervisor"], 0)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _locust(folder: Path, arguments: Sequence[str], run: Path | None, watch: Watch | None) -> int:
    given = dict(os.environ)
    if run is not None:
        given["OPENLINE_VAR"] = str(run.parent)
    if host := given.get("LOAD_HOST"):
        given["LOCUST_HOST"] = host
    # With a file for the figures Locust leaves out its own tables, which say less than our report.
    files = ("--report", folder, "--html", folder / "report.html", "--json-file", folder / "locust")
    for old in ("report.md", "report.csv", "report.html"):
        (folder / old).unlink(missing_ok=True)
    command = [*_LOCUST, "--headless", *_USUAL, *map(str, files), *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=given) as process:  # noqa: S603 - our own command
        if watch is not None:
            watch.others["locust"] = process.pid
        while True:
            with contextlib.suppress(
                KeyboardInterrupt
            ):  # Locust hears it too, and ends with a report
                return process.wait()


def _help() -> None:
    """Locust's help with our options in it: by itself it shows help before it reads a locustfile."""
    warnings.simplefilter(
        "ignore"
    )  # gevent's, that TLS was imported before it: nothing connects here
    from locust import events  # noqa: PLC0415 - it patches the standard library
    from locust import main as locust  # noqa: PLC0415

    from loadtest.swarm import options  # noqa: PLC0415

    events.init_command_line_parser.add_listener(options.add)  # type: ignore[no-untyped-call]  # Locust's
    sys.argv = ["locust", "--help"]
    locust.main()  # type: ignore[no-untyped-call]  # Locust's


def _raise_file_limit() -> None:
    """Sockets are files, and children inherit what we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _say(line: str) -> None:
    sys.stderr.write(f"load: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
