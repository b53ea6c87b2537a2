"""What the command lines of bench, capacity and load make of wrong arguments: one line, and nothing is started."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.stack import ROOT


@pytest.mark.parametrize(
    ("module", "arguments", "variables", "told"),
    [
        ("bench", ["--only", "fanout-50,nope"], {}, "no scenario 'nope'; known: fanout-50"),
        ("bench", [], {"BENCH_ONLY": "nope"}, "no scenario 'nope'; known: fanout-50"),
        ("bench", [], {"BENCH_ROUNDS": "many"}, "argument --rounds: 'many' is no whole number"),
        ("capacity", [], {"CAPACITY_FOR": "0"}, "argument --for: 0 is not above 0"),
        ("capacity", ["--each", "0"], {}, "argument --each: 0 is not above 0"),
        ("swarm", ["--no-such-thing"], {}, "unrecognized arguments: --no-such-thing"),
        ("swarm", ["--shape", "square"], {}, "invalid choice: 'square'"),
    ],
)
def test_a_wrong_argument_ends_it_before_anything_starts(
    tmp_path, module, arguments, variables, told
):
    done = subprocess.run(
        [sys.executable, "-m", f"loadtest.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, "OPENLINE_VAR": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())
