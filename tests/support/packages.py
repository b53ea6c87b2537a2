"""Wheels of what we release, built here, and virtual environments that hold nothing but them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

from tests.support.stack import ROOT


def wheel(project: Path, folder: Path) -> Path:
    """The wheel of a project, with the build back end that is installed here."""
    command = [sys.executable, "-m", "pip", "wheel", str(project), "--no-deps"]
    options = ["--no-build-isolation", "--quiet", "--disable-pip-version-check", "-w", str(folder)]
    subprocess.run([*command, *options], check=True)
    (built,) = folder.glob("*.whl")
    return built


class Environment:
    """A virtual environment of its own. Packages come in the versions of the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._constraints = folder.with_suffix(".constraints")
        lock = (ROOT / "requirements-clients.txt").read_text("utf-8")
        # With the marker: there are packages whose newest version needs a newer Python.
        pins = re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?(==[^\\\n]+)", lock, re.MULTILINE)
        self._constraints.write_text("".join(f"{name}{pin}\n" for name, pin in pins))
        venv.create(folder, with_pip=True)

    def install(self, *asked: str) -> None:
        """`pip install`."""
        command = [str(self.program("python")), "-m", "pip", "install", "--quiet"]
        options = ["--disable-pip-version-check", "--no-input", "-c", str(self._constraints)]
        subprocess.run([*command, *options, *asked], check=True, env=self.variables)

    def program(self, name: str) -> Path:
        """A program of the environment."""
        return self.folder / "bin" / name

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of a newcomer: nothing points to this checkout."""
        left_out = ("OPENLINE_", "PYTHON", "VIRTUAL_ENV", "COV_", "PYTEST_")
        return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}

    def run(self, program: str, *arguments: str, cwd: Path) -> str:
        """What a program of the environment prints. Fails unless it ends with 0."""
        command = [str(self.program(program)), *arguments]
        ended = subprocess.run(
            command, cwd=cwd, env=self.variables, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout
