"""The newest failures stay, and the present run."""

from __future__ import annotations

import os
from pathlib import Path

from loadtest.chaos import kept


def test_only_the_newest_failures_stay_beside_the_present_run(tmp_path: Path) -> None:
    for number in range(kept.FAILURES + 3):
        folder = tmp_path / str(number)
        kept.begin(folder)
        (folder / "report.json").touch()
        (folder / "failed").touch()
        os.utime(folder / "failed", (number, number))
    passed = tmp_path / "passed"
    kept.begin(passed)
    (passed / "report.json").touch()
    present = tmp_path / "present"
    kept.begin(present)
    kept.end(present, ok=False)
    left = {folder.name for folder in tmp_path.iterdir()}
    assert left == {"present", *map(str, range(4, kept.FAILURES + 3))}


def test_a_seed_that_runs_again_begins_empty(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    kept.begin(folder)
    (folder / "old").touch()
    kept.begin(folder)
    assert not list(folder.iterdir())
