"""Accessibility, as axe-core judges what a tab shows."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from playwright.sync_api import Page

from tests.support.stack import ROOT

PACKAGE = ROOT / "clients" / "js"
_SCRIPT = PACKAGE / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """axe.run().then(({violations}) => violations.map(({impact, id, nodes}) =>
  `${impact} ${id}: ${nodes.map(({target}) => target.join(" ")).join(", ")}`))"""


def violations(page: Page) -> list[str]:
    """What axe finds, of any impact: the rule, and the elements that break it."""
    page.evaluate(_source())
    found: list[str] = page.evaluate(_RUN)
    return found


@cache
def _source() -> str:
    if not _SCRIPT.exists():
        bin_folder = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
        command = ["npm", "install", "--no-save", "--silent"]
        subprocess.run(command, cwd=PACKAGE, env=environment, check=True, timeout=300)
    return _SCRIPT.read_text("utf-8")
