"""What the command lines of bench, capacity and load make of wrong arguments: one line, and nothing is started."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from tests.support.stack import ROOT


@pytest.mark.parametrize(
    ("module", "arguments", "variables", "said"),
    [
        ("bench", ["--only", "fanout-50,nope"], {}, "no scenario 'nope'; known: fanout-50"),
        ("bench", [], {"BENCH_ONLY": "nope"}, "no scenario 'nope'; known: fanout-50"),
        ("bench", [], {"BENCH_ROUNDS": "many"}, "argument --rounds: 'many' is no whole number"),
        ("capacity", [], {"CAPACITY_FOR": "0"}, "argument --for: 0 is not above 0"),
        ("capacity", [], {"CAPACITY_FOR": "many"}, "argument --for: 'many' is no whole number"),
        ("capacity", ["--each", "0"], {}, "argument --each: 0 is not above 0"),
        ("capacity", ["--most", "0"], {}, "argument --most: 0 is not above 0"),
        ("capacity", ["--seconds", "-1"], {}, "argument --seconds: -1 is not above 0"),
        ("capacity", ["--audience", "5000"], {}, "cannot have 5,000 readers of 2,000 connections"),
    ],
)
def test_a_wrong_argument_ends_it_before_anything_starts(  # noqa: PLR0917
    tmp_path, monkeypatch, capsys, module, arguments, variables, said
):
    for name, value in {"OPENLINE_VAR": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", [f"loadtest.{module}", *arguments])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"loadtest.{module}.__main__").main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not any(tmp_path.iterdir())


def test_a_wrong_argument_of_load_ends_it_before_anything_starts(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "loadtest.swarm", "--shape", "square"],
        cwd=ROOT,
        env={**os.environ, "OPENLINE_VAR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "invalid choice: 'square'" in done.stderr
    assert "Traceback" not in done.stderr
    assert "report:" not in done.stderr, "what has not begun has none"
    assert not any(tmp_path.iterdir())
