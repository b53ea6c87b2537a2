"""Clients of both packages and plain ones on the same channels while faults happen: each message once, in order, or a word
that it is lost.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.chaos.stores import KINDS
from tests.support.stack import ROOT, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]

PACKAGE = ROOT / "clients/js"
BIN = Path(sys.executable).parent
SEED = 2
SECONDS = 75
FAULTS = (
    "gateway-kill",
    "gateway-stop",
    "redis-kill",
    "redis-cut",
    "redis-stall",
    "bus-trim",
    "nginx-reload",
    "publisher-kill",
    "auth-kill",
    "clients-cut",
    "disconnect",
)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The package as users get it; `make clients` has built it before, and installed what builds it."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    if not (PACKAGE / "node_modules").exists():
        install = [BIN / "npm", "install", "--no-save", "--silent"]
        subprocess.run(install, cwd=PACKAGE, env=environment, check=True, timeout=500)
    if not (PACKAGE / "dist/index.js").exists():
        build = [BIN / "npm", "run", "-s", "build"]
        subprocess.run(build, cwd=PACKAGE, env=environment, check=True, timeout=300)


def chaos(
    folder: Path, *options: str, seed: int = SEED, login: dict[str, str] | None = None
) -> tuple[int, str, dict, list[dict]]:
    """A run, ended in any case: its exit status, what it printed, its report, and what its clients report."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "clients/python/src"), str(ROOT)]),
        "OPENLINE_VAR": str(folder),
        **{f"CHAOS_{name.upper()}": text for name, text in (login or {}).items()},
    }
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.chaos", "--seed", str(seed), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=700,
        check=False,
    )
    kept = folder / "chaos" / str(seed)
    assert (kept / "report.json").exists(), done.stderr
    said = done.stdout + done.stderr
    report = json.loads((kept / "report.json").read_text("utf-8"))
    clients = json.loads((kept / "histories.json").read_text("utf-8"))["clients"]
    return done.returncode, said, report, clients


def test_nobody_misses_doubles_or_reorders_a_message_whatever_happens(tmp_path: Path) -> None:
    minutes = ["--minutes", str(SECONDS / 60), "--fault-every", "3"]
    status, said, report, clients = chaos(tmp_path, *minutes, "--faults", *FAULTS)
    assert status == 0, said
    assert {fault["kind"] for fault in report["faults"]} == {*FAULTS}
    kinds = {"js", "python", "native", "msgpack", "room", "sse", "http"}
    assert {client["name"].split("-")[0] for client in clients} == kinds
    readers = [client for client in clients if client["channels"]]
    assert all(client["away"] for client in readers), "everybody lost a line at least once"
    assert report["counts"]["flagged"], "a loss is told of, too"
    assert report["counts"]["recovered"]
    page = (tmp_path / "chaos" / str(SEED) / "report.html").read_text("utf-8")
    assert "<span class=passed>passed</span>" in page


def test_a_gateway_that_drains_or_dies_costs_no_message_and_no_word_of_a_loss(
    tmp_path: Path,
) -> None:
    kinds = ["--faults", "gateway-stop", "gateway-kill", "nginx-reload"]
    status, said, report, clients = chaos(tmp_path, "--direct", "--minutes", "0.5", *kinds)
    assert status == 0, said
    assert report["counts"]["flagged"] == 0
    assert any(client["away"] for client in clients)


def test_a_seed_that_nobody_chose_finds_nothing_on_the_store_of_the_day(tmp_path: Path) -> None:
    """Each kind of store has its turn; what failed says the command that repeats it."""
    store = KINDS[dt.datetime.now(tz=dt.UTC).toordinal() % len(KINDS)]
    crowd = ["--javascript", "10", "--python", "10", "--raw", "8", "--publishers", "3"]
    run = ["--store", store, "--minutes", "1", "--fault-every", "2"]
    seed = random.randrange(1_000_000)
    status, said, report, _ = chaos(tmp_path, *run, *crowd, seed=seed)
    assert status == 0, said
    assert len(report["faults"]) >= 3
    assert report["counts"]["delivered"] > 1000


def test_a_system_that_runs_elsewhere_is_judged_by_what_its_clients_were_told(
    tmp_path: Path,
) -> None:
    kinds = ["clients-cut", "clients-deaf", "slow-readers", "disconnect"]
    crowd = ["--javascript", "5", "--python", "5", "--raw", "8", "--publishers", "2"]
    with Stack(tmp_path / "elsewhere") as stack:
        client = stack.run["clients"][0]
        login = {name: client[name] for name in ("client_id", "client_secret")}
        options = ["--target", stack.url, "--minutes", "0.5", "--fault-every", "1"]
        status, said, report, _ = chaos(tmp_path, *options, *crowd, "--faults", *kinds, login=login)
    assert status == 0, said
    assert report["counts"]["recovered"]
    assert {fault["kind"] for fault in report["faults"]} >= {"clients-cut", "disconnect"}
