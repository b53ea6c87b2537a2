"""Clients of both packages and plain ones on the same channels while faults happen: each message once, in order, or a word
that it is lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

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
        subprocess.run(install, cwd=PACKAGE, env=environment, check=True, timeout=200)
    if not (PACKAGE / "dist/index.js").exists():
        build = [BIN / "npm", "run", "-s", "build"]
        subprocess.run(build, cwd=PACKAGE, env=environment, check=True, timeout=100)


def chaos(folder: Path, *options: str) -> tuple[int, str, dict, list[dict]]:
    """A run, ended in any case: its exit status, what it printed, its report, and what its clients report."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "clients/python/src"), str(ROOT)]),
        "OPENLINE_VAR": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.chaos", "--seed", str(SEED), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    kept = folder / "chaos" / str(SEED)
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
