"""Comparing a service with its OpenAPI document."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def schemathesis(
    document: str,
    base: str,
    folder: Path,
    *,
    token: str | None,
    examples: int = 2,
    rate: str | None = None,
) -> int:
    """Let schemathesis call `base` as the document says, with all its checks; how many calls it tested.

    Fails with its report when anything was answered otherwise. `folder` is for what it writes. `examples` are cases a call
    and phase, `rate` bounds the calls, as in "90/s".
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
            "--seed=1",
            "--generation-database=none",
            "--no-color",
            *header,
            *([f"--rate-limit={rate}"] if rate else []),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"Tested: (\d+)", done.stdout)
    assert found is not None, done.stdout[-3000:]
    return int(found[1])
