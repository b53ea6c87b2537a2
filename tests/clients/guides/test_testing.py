"""The tests that docs/guides shows to write, run as they stand in a user's own session of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.stack import ROOT

pytestmark = [pytest.mark.clients, pytest.mark.server, pytest.mark.timeout(300)]

INI = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p openline.pytest -p no:cacheprovider
"""


def python(page: str, heading: str | None = None) -> list[str]:
    return [block.code for block in blocks(page, heading) if block.language == "python"]


def session(folder: Path, *code: str) -> str:
    """What pytest says of a module of these examples."""
    (folder / "test_page.py").write_text("\n\n".join(code), encoding="utf-8")
    (folder / "pytest.ini").write_text(INI, encoding="utf-8")
    paths = [str(ROOT / "clients/python/src"), str(ROOT)]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_page.py"],
        cwd=folder,
        env=ours | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tests_of_the_guide_pass(tmp_path: Path) -> None:
    shipped = python("docs/guides/notifications.md")[0]
    said = session(tmp_path, shipped, *python("docs/guides/testing.md"))
    assert "3 passed" in said


@pytest.mark.parametrize("when", ["Before", "After"])
def test_an_application_passes_its_tests_before_and_after_it_is_moved(
    tmp_path: Path, when: str
) -> None:
    """The application with a ConnectionManager, and the same one with Openline."""
    said = session(tmp_path, *python("docs/guides/from-a-connection-manager.md", when))
    assert "1 passed" in said
