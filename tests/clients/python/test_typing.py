"""What a user writes is understood by mypy --strict and by pyright in strict mode, with the types that it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.server, pytest.mark.timeout(300)]

SOURCE = ROOT / "clients/python/src"
PROGRAM = (Path(__file__).parent / "typed_program.txt").read_text("utf-8")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM, "utf-8")
    return tmp_path


def test_mypy_understands_it(program):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "program.py"],
        cwd=program,
        env={**os.environ, "MYPYPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_understands_it(program):
    settings = {
        "extraPaths": [str(SOURCE)],
        "include": ["program.py"],
        "pythonVersion": "3.11",
        "typeCheckingMode": "strict",
    }
    (program / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "-p", program, "--pythonpath", sys.executable],
        cwd=program,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_use_is_found(program):
    """The checks above can fail."""
    wrong = PROGRAM.replace('room.publish(Chat("x"))', "room.publish(7)")
    assert wrong != PROGRAM
    (program / "program.py").write_text(wrong, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "program.py"],
        cwd=program,
        env={**os.environ, "MYPYPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "arg-type" in done.stdout
