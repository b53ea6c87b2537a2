"""Nothing that tests start outlives them, however they end: Ctrl-C kills the processes of `make test`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.stack import ROOT, alive
from tests.support.waiting import wait_until

START = """
import sys
from pathlib import Path
from tests.support import redis_server, stack
{start}
print(*started, flush=True)
sys.stdin.read()
"""
REDIS = "started = [redis_server.start_redis(Path(sys.argv[1])).process.pid]"
STACK = """
running = stack.Stack(Path(sys.argv[1]), OPENLINE_GATEWAYS="1").start()
started = [running.process.pid, *running.processes()]
"""


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(REDIS, id="a server"),
        pytest.param(STACK, id="the whole system", marks=pytest.mark.slow),
    ],
)
def test_what_a_killed_test_started_ends(tmp_path, start):
    tests = subprocess.Popen(
        [sys.executable, "-c", START.format(start=start), str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with tests:
        pids = [int(pid) for pid in tests.stdout.readline().split()]
        assert pids
        assert all(map(alive, pids))
        tests.kill()
    wait_until(lambda: not any(map(alive, pids)), timeout=60)
