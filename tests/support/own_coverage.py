"""Demand that each module of the pure folders is covered wholly by its mirrored test file.

Coverage by accident, from a test of something else, says nothing about a module: it is not meant to hold.
Run: `python -m tests.support.own_coverage`. Exit status 0 when all branches of all modules are covered.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from coverage import Coverage
from coverage.exceptions import NoDataError

FOLDERS = (
    "services/kernel/domain",
    "services/kernel/protocol",
    "services/gateway/fanout",
    "services/gateway/session",
)
"""Where all code is pure or near it, and needs no server to be tested."""

ROOT = Path(__file__).resolve().parents[2]


def mirror(module: str) -> str:
    """The test file of a module: `services/a/b.py` is tested by `tests/unit/a/test_b.py`."""
    path = Path(module)
    return (
        Path("tests/unit") / path.parent.relative_to("services") / f"test_{path.name}"
    ).as_posix()


def modules() -> Iterator[str]:
    """The modules that hold code to run; a port only declares."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).glob("*.py")):
            if path.name not in {"__init__.py", "port.py"}:
                yield path.relative_to(ROOT).as_posix()


def measure(data_file: Path) -> None:
    """Run the tests once, noting for each line and branch which test ran it. Exits as pytest does when it fails."""
    tests = [folder.replace("services", "tests/unit", 1) for folder in FOLDERS]
    sources = [f"--cov={folder}" for folder in FOLDERS]
    command = [sys.executable, "-m", "pytest", "-q", *tests, *sources]
    command += ["--cov-branch", "--cov-context=test", "--cov-report="]
    environment = {**os.environ, "COVERAGE_FILE": str(data_file)}
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if status:
        sys.exit(status)


def shortfall(data_file: Path, module: str) -> str:
    """What the module's own tests leave out, as a report; empty when nothing. Import time counts for every test."""
    test = mirror(module)
    if not (ROOT / test).exists():
        return f"{module}: no {test}\n"
    report = StringIO()
    coverage = Coverage(data_file=data_file)
    coverage.load()
    coverage.set_option("report:show_missing", value=True)
    try:
        share = coverage.report(
            [str(ROOT / module)], contexts=["^$", f"^{re.escape(test)}::"], file=report
        )
    except NoDataError:
        return f"{module}: nothing ran it\n"
    return "" if share == 100 else report.getvalue()


def main() -> None:
    """Print what is missing; exit 1 if anything is."""
    with tempfile.TemporaryDirectory() as folder:
        data_file = Path(folder) / "coverage"
        measure(data_file)
        missing = [text for module in modules() if (text := shortfall(data_file, module))]
    sys.stdout.write("".join(missing) or "each module is covered by its own tests\n")
    sys.exit(bool(missing))


if __name__ == "__main__":
    main()
