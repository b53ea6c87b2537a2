"""The operating system's accounting."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from loadtest.bench import usage

pytestmark = pytest.mark.server


@pytest.fixture
def spinning():
    """A process with a child that spins for half a second of CPU time, then sleeps."""
    child = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ntime.sleep(60)"
    parent = (
        f"import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "try: sys.stdin.read()\nfinally: p.kill(); p.wait()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield process
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def test_cpu_time_and_memory_include_children(spinning):
    spinning.stdout.readline()
    assert len(usage.tree(spinning.pid)) == 2
    used = sum(map(usage.cpu_seconds, usage.tree(spinning.pid)))
    assert 0.5 <= used < 2
    assert used == pytest.approx(sum(map(usage.stat_seconds, usage.tree(spinning.pid))), abs=0.1)
    meter = usage.Meter({"it": spinning.pid})
    assert meter.cpu()["it"] < 0.1
    assert meter.pss()["it"] > usage.pss_bytes(spinning.pid) > 1_000_000


def test_a_process_that_has_ended_used_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert usage.cpu_seconds(process.pid) == 0
    assert usage.pss_bytes(process.pid) == 0


def test_own_time_is_that_of_the_process_clock():
    assert usage.cpu_seconds(os.getpid()) == pytest.approx(time.process_time(), abs=0.05)


def test_a_machine_is_busy_with_all_but_idling_and_what_counts_twice():
    ticks = os.sysconf("SC_CLK_TCK")
    text = f"cpu  {3 * ticks} 0 {2 * ticks} {50 * ticks} {7 * ticks} 0 {ticks} {ticks} {ticks} 0\ncpu0 1\n"
    assert usage.busy_seconds(text) == pytest.approx(3 + 2 + 1 + 1)


def test_what_a_process_uses_is_part_of_what_the_machine_does():
    before, own = usage.busy_seconds(), time.process_time()
    while time.process_time() < own + 0.3:
        pass
    assert usage.busy_seconds() - before >= 0.2
