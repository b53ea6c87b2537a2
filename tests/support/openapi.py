"""Comparing a service with its OpenAPI document."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def schemathesis(
    document: str, base: str, folder: Path, *, token: str | None, examples: int = 2
) -> int:
    """Let schemathesis call `base` as the document says, with all its checks; how many calls it tested.

    Fails with its report when anything was answered otherwise. `folder` is for what it writes.
    """
    header = [f"--header=Authorization: Bearer {token}"] if token else []
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            document,
            f"--url={base}",
            "--checks=all",
            f"--max-examples={examples}",
            # The front door lets an address make 100 calls of auth a second, and more for a short while.
            "--rate-limit=90/s",
            "--seed=1",
            "--generation-database=none",
            "--no-color",
            *header,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"Tested: (\d+)", done.stdout)
    assert found is not None, done.stdout[-3000:]
    return int(found[1])
