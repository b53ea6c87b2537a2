"""CPU and memory of processes over a run."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.swarm.watch import Watch
from tests.support.waiting import wait_until

pytestmark = pytest.mark.server

BUSY = "import time\nheld = bytearray(40_000_000)\nwhile True: pass"


def grown(watch: Watch) -> bool:
    """Whether the busy process has its memory, and has used time since it was first looked at."""
    memory, cpu = watch.memory.get("gateway"), watch.cpu.get("gateway")
    return bool(memory and cpu) and memory[-1].value > 40 and cpu[-1].value > cpu[0].value


def test_what_processes_use_is_told_and_one_that_ends_does_not_spoil_it(tmp_path: Path) -> None:
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    run = tmp_path / "run.json"
    run.write_text(json.dumps({"pids": {"supervisor": 1, "gateway": busy.pid}}), "utf-8")
    try:
        with Watch(run, every=0.05) as watch:
            watch.others["locust"] = other.pid
            wait_until(lambda: grown(watch) and watch.memory.get("locust"))
            other.kill()
            other.wait()
            seen = len(watch.memory["gateway"])
            wait_until(lambda: len(watch.memory["gateway"]) > seen + 2)
    finally:
        for process in (busy, other):
            process.kill()
            process.wait()
    assert set(watch.memory) == {"gateway", "locust"}
    assert watch.memory["gateway"][-1].value > 40
    assert watch.memory["locust"][-1].value > 1
    assert watch.cpu["gateway"][-1].value > watch.cpu["gateway"][0].value
    assert "| gateway | " in watch.markdown()
    assert "(too short)" in watch.markdown()
    watch.write(tmp_path / "processes.csv")
    with (tmp_path / "processes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(watch.memory["gateway"]) + len(watch.memory["locust"])


def test_without_a_run_there_is_nothing_to_tell(tmp_path: Path) -> None:
    with Watch(tmp_path / "run.json") as watch:
        pass
    assert watch.markdown() == ""
