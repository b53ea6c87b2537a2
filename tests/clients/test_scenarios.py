"""Both clients do what clients/scenarios asks of every client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "clients"
BIN = Path(sys.executable).parent


def play(adapter: list[str], *options: str) -> str:
    """What the runner says."""
    done = subprocess.run(
        [
            sys.executable,
            CLIENTS / "scenarios/run.py",
            "--patience",
            "60",
            *options,
            "--",
            *adapter,
        ],
        env=os.environ
        | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(CLIENTS / "python/src"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_javascript_client_plays_every_scenario() -> None:
    adapter = CLIENTS / "js/scenarios/adapter.mjs"
    assert play(["node", str(adapter)]).endswith(" passed, 0 failed\n")


def test_the_python_client_plays_every_scenario_but_of_what_it_does_not_have() -> None:
    """It leaves a channel at once: `async with` says when it ends, so nothing mounts twice."""
    adapter = CLIENTS / "python/scenarios/adapter.py"
    assert play([sys.executable, str(adapter)], "--without", "lingers").endswith("0 failed\n")


def said(*arguments: str) -> tuple[int, str]:
    """The runner's exit status, and what it says."""
    command = [sys.executable, str(CLIENTS / "scenarios/run.py"), "--only", "ping", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("--", "./no-such-adapter"), 2, "./no-such-adapter is no program that can be run"),
        (("--without", "wings", "--", "true"), 2, "no optional ability: wings; there are client"),
        (("--patience", "30", "--", "false"), 1, "the adapter ended with 1"),
        (("--patience", "30", "--", "echo", "hello"), 1, "it wrote what is no JSON object: hello"),
    ],
)
def test_an_adapter_that_cannot_be_one_is_told_what_is_wrong(
    arguments: tuple[str, ...], status: int, text: str
) -> None:
    got, output = said(*arguments)
    assert (got, "Traceback" in output) == (status, False)
    assert text in output


def test_a_client_that_does_something_else_fails_and_the_step_is_named() -> None:
    silent = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    status, output = said("--patience", "2", "--", *silent)
    assert status == 1
    assert 'FAILED  ping: step 3 {"greet"' in output
