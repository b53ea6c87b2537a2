"""Locust as users run it: what it counts is what happened, and what goes wrong is said with the fix."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.local.ports import free_port
from tests.support.lossy_proxy import LossyProxy
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LOCUST = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py"]


class Load(NamedTuple):
    """A finished run; `rows` by kind and name."""

    status: int
    output: str
    rows: dict[tuple[str, str], dict[str, str]]

    def count(self, kind: str) -> int:
        """Requests of all rows of a kind."""
        return sum(int(row["requests"]) for (found, _), row in self.rows.items() if found == kind)


def load(folder: Path, stack: Stack | None, *arguments: str) -> Load:
    """Run Locust headless until it ends."""
    given = {name: text for name, text in os.environ.items() if not name.startswith("LOAD_")}
    given["OPENLINE_VAR"] = str(stack.var if stack else folder)
    command = [*LOCUST, "--headless", "--only-summary", "--report", str(folder), *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=100, check=False
    )
    rows = {}
    if (folder / "report.csv").exists():
        with (folder / "report.csv").open(encoding="utf-8", newline="") as file:
            rows = {(row["kind"], row["name"]): row for row in csv.DictReader(file)}
    return Load(done.returncode, done.stdout + done.stderr, rows)


def test_a_healthy_system_passes_and_every_kind_of_user_is_counted(
    stack: Stack, tmp_path: Path
) -> None:
    done = load(
        tmp_path,
        stack,
        *("-u", "40", "-r", "40", "-t", "15s", "--shape", "spike"),
        *("--chat-every", "1", "--rooms", "2", "--storm-every", "4", "--slo-p99", "5000"),
    )
    assert done.status == 0, done.output
    assert "load: 10 s: " in done.output, "it says how far it is"
    assert "# Load: passed" in done.output
    for kind in ("WS deliver", "SSE deliver", "WS publish", "HTTP publish", "WS recover"):
        assert done.count(kind) > 0, (kind, done.output)
    assert done.count("WS gap") == done.count("SSE gap") == 0
    assert done.count("WS repeat") == done.count("SSE repeat") == 0
    assert "# Load: passed" in (tmp_path / "report.md").read_text("utf-8")


def test_each_message_of_a_feed_is_counted_once_a_reader(stack: Stack, tmp_path: Path) -> None:
    done = load(
        tmp_path,
        stack,
        *("-u", "11", "-r", "100", "-t", "10s", "--feeds", "1", "--feed-rate", "20"),
        *("--slo-p99", "5000", "FeedReader", "Ticker"),
    )
    assert done.status == 0, done.output
    published = int(done.rows["HTTP publish", "live"]["requests"])
    assert 150 <= published <= 205
    # Those published before the readers were there, and the one under way at the end, may be missing.
    assert 10 * (published - 30) <= done.count("WS deliver") <= 10 * published


def test_messages_that_a_network_swallows_are_gaps(stack: Stack, tmp_path: Path) -> None:
    port = int(stack.url.rpartition(":")[2])
    with LossyProxy(port, nth=25) as proxy:
        done = load(
            tmp_path,
            stack,
            *("--host", f"http://127.0.0.1:{proxy.port}", "-u", "5", "-r", "100", "-t", "8s"),
            *("--feeds", "1", "--slo-p99", "5000", "FeedReader", "Ticker"),
        )
    assert done.status == 1, done.output
    # One that was swallowed last has no later one that tells of it.
    assert proxy.lost - 4 <= done.count("WS gap") <= proxy.lost
    assert done.count("WS gap") > 8
    assert f"WS gap, live: {done.count('WS gap')} messages" in done.output


def test_every_kind_of_user_speaks_tls(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    how = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    what = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    where = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run([*how, *what, *where], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    port = int(stack.url.rpartition(":")[2])
    with LossyProxy(port, nth=0, tls=tls) as proxy:
        host = f"https://localhost:{proxy.port}"
        load_tls = ("-u", "20", "-r", "20", "-t", "10s", "--chat-every", "1", "--rooms", "2")
        done = load(tmp_path, stack, "--host", host, *load_tls, "--slo-p99", "5000")
    assert done.status == 0, done.output
    for kind in ("WS deliver", "SSE deliver", "WS publish", "HTTP publish"):
        assert done.count(kind) > 0, (kind, done.output)


def test_two_workers_share_the_users(stack: Stack, tmp_path: Path) -> None:
    port = str(free_port())
    worker = [*LOCUST, "--worker", "--master-host", "127.0.0.1", "--master-port", port]
    environment = {**os.environ, "OPENLINE_VAR": str(stack.var)}
    workers = [subprocess.Popen(worker, cwd=ROOT, env=environment) for _ in range(2)]
    try:
        done = load(
            tmp_path,
            stack,
            *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port),
            *("--expect-workers", "2", "-u", "20", "-r", "100", "-t", "8s"),
            *("--chat-every", "1", "--slo-p99", "5000"),
        )
        assert done.status == 0, done.output
        assert done.count("WS deliver") > 0
        assert int(done.rows["WS connect", "room"]["requests"]) >= 5
        assert [process.wait(20) for process in workers] == [0, 0]
    finally:
        for process in workers:
            process.kill()
            process.wait()


def test_nothing_that_runs_is_said_at_once_with_the_fix(tmp_path: Path) -> None:
    done = load(tmp_path, None, "-u", "1", "-t", "10m")  # for which nobody waits here
    assert done.status == 2
    assert "start it with `make run`" in done.output
    assert "Traceback" not in done.output


def test_a_client_that_is_not_known_is_said_at_once(stack: Stack, tmp_path: Path) -> None:
    who = ("--client-id", "stranger", "--client-secret", "grass-and-stone")
    done = load(tmp_path, stack, "-u", "1", "-t", "10m", *who)  # for which nobody waits here
    assert done.status == 2
    assert "does not take the client stranger" in done.output
    assert "Traceback" not in done.output
    assert "grass-and-stone" not in done.output


def test_help_names_our_options() -> None:
    command = [sys.executable, "-m", "loadtest.swarm", "--help"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    for name in ("--shape", "steady,ramp,spike,soak", "--slo-p99", "LOAD_CLIENT_SECRET_FILE"):
        assert name in done.stdout
    assert "--headless" in done.stdout


REFUSE_ZERO = """
import contextlib, sys
from locust.argument_parser import LocustArgumentParser
from loadtest.swarm import options
parser = LocustArgumentParser()
options.add(parser)
for option in sys.argv[1:]:
    with contextlib.suppress(SystemExit):
        parser.parse_args([option, "0"])
        print(f"{option} was taken")
"""
"""In a process of its own, since locust replaces what Python waits with; one for all, since it takes a second."""


def test_numbers_that_would_stop_a_user_are_refused() -> None:
    options = ["--notify-rate", "--storm-every", "--feeds", "--payload"]
    command = [sys.executable, "-c", REFUSE_ZERO, *options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == ""
    for option in options:
        assert f"argument {option}: 0 is not above 0" in done.stderr


def started_with(variable: str) -> list[str]:
    """The processes that have this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if variable.encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize(
    ("program", "begun", "last"),
    [
        (
            "capacity",
            "capacity/openline/var/run.json",
            "stopped before the end: no report was written",
        ),
        ("swarm", "load/openline/screen.txt", "stopped before the load began"),
    ],
)
def test_what_is_interrupted_says_so_and_leaves_nothing_running(
    program: str, begun: str, last: str, tmp_path: Path
) -> None:
    # As a shell starts what is to run in the background.
    ignoring = ["env", "--ignore-signal=INT"]
    process = subprocess.Popen(
        [*ignoring, sys.executable, "-m", f"loadtest.{program}"],
        cwd=ROOT,
        env={**os.environ, "OPENLINE_VAR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until((tmp_path / begun).exists, timeout=60)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()  # what it has started ends with it
        process.wait()
    assert process.returncode == 130
    assert said.splitlines()[-1].endswith(last)
    assert "Traceback" not in said
    wait_until(lambda: not started_with(f"OPENLINE_VAR={tmp_path}"))


@pytest.mark.timeout(300)
def test_capacity_measures_and_plans(tmp_path: Path) -> None:
    # An SLO that nothing holds, so that it ends with the first step of each kind.
    command = [sys.executable, "-m", "loadtest.capacity", "--var", str(tmp_path)]
    command += ["--seconds", "1", "--readers", "200", "--most", "600", "--slo-p99", "0.05"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "CAPACITY_FOR": "50000"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "## A plan for 50,000 connections" in done.stdout
    assert "No step held the SLO" in done.stdout
    written = json.loads((tmp_path / "capacity" / "report.json").read_text("utf-8"))
    (step,), (crowd,) = written["deliveries"], written["connections"]
    assert step["gaps"] == crowd["gaps"] == 0
    assert step["cores"]["gateway"] > step["cores"]["gateway-2"] > 0
    assert crowd["connections"] == 500
    assert crowd["gateway_mb"] > 0
    assert written["plan"]["gateways"] >= 2
    for name in ("capacity-deliveries.png", "capacity-connections.png", "report.md"):
        assert (tmp_path / "capacity" / name).stat().st_size > 1000
