"""What `perf stat` counts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import pytest

from loadtest.bench import instructions
from loadtest.bench.instructions import Instructions, counted, counts

REAL = "123456;;instructions;1000;100.00;1.2;insn per cycle\n"
ABSENT = "<not supported>;;instructions;0;100.00;;\n"


@pytest.mark.parametrize(
    ("told", "figure"),
    [
        (REAL, 123456.0),
        ("some warning\n" + REAL, 123456.0),
        ("12.5;msec;task-clock;1;100.00;;\n", 12.5),
        (ABSENT, None),
        ("<not counted>;;instructions;0;0.00;;\n", None),
        ("", None),
        ("perf: command failed\n", None),
        ("7\n", None),
    ],
)
def test_the_figure_is_read_and_its_absence_is_no_figure(told, figure):
    assert counted(told) == figure


def test_a_machine_without_perf_counts_nothing(monkeypatch):
    monkeypatch.setattr(instructions.shutil, "which", lambda _: None)
    counts.cache_clear()
    try:
        assert not counts()
        assert Instructions([1]).stop() is None
    finally:
        counts.cache_clear()


@pytest.mark.server
@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
def test_processes_are_counted_until_stopped():
    """By an event that every machine has: the instructions themselves are not counted in most virtual ones."""
    event = "task-clock"
    if not counts(event):
        pytest.skip("perf may not count here")
    spin = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", spin]) as process:
        try:
            counting = Instructions([process.pid], event=event)
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                time.sleep(0.05)
            milliseconds = counting.stop()
        finally:
            process.kill()
    assert milliseconds is not None
    assert milliseconds > 1
