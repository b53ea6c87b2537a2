"""Auth's administration command, run in the tests' own process: one of its own spends a second on importing."""

from __future__ import annotations

import contextlib
import io
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

from services.auth import admin


def administer(
    environment: Mapping[str, str], *arguments: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command with these variables and `given` as its standard input."""
    said, errors = io.StringIO(), io.StringIO()
    with (
        patch.dict("os.environ", environment, clear=True),
        patch("sys.stdin", io.StringIO(given)),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(errors),
        # It runs a loop, and the caller may be in one.
        ThreadPoolExecutor(1) as thread,
    ):
        status = thread.submit(_run, arguments).result(30)
    return subprocess.CompletedProcess(
        ["admin", *arguments], status, said.getvalue(), errors.getvalue()
    )


def _run(arguments: tuple[str, ...]) -> int:
    try:
        return admin.main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)
