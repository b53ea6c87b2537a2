"""What clients/python/README.md says that a received message costs can be measured again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.clients

ROOT = Path(__file__).parents[3]


def test_the_measurement_of_the_readme_measures_the_client_and_what_is_there_without_it():
    readme = (ROOT / "clients/python/README.md").read_text()
    (program,) = re.findall(r"`python (\S+/receive\.py)`", readme)
    ran = subprocess.run(
        [sys.executable, program, "--messages", "50"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "clients/python/src", "ROUNDS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    found = re.findall(r"^(\w+ \w+ \w+) +([0-9.]+) us a message", ran.stdout, re.MULTILINE)
    kinds = {
        f"{loop} {kind} {who}"
        for loop in ("asyncio", "uvloop")
        for kind in ("bursts", "singles")
        for who in ("client", "bare")
    }
    assert {name for name, _ in found} == kinds
    assert all(float(cost) > 0 for _, cost in found)
