"""Files that are generated from the code: written, or compared when `--check` is given."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write(files: Mapping[Path, str]) -> int:
    """Write those that are stale, or name them when the arguments have `--check`.

    Returns the exit status: 1 when one is stale and was only named.
    """
    stale = [
        path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        sys.stdout.writelines(
            f"{path.relative_to(ROOT)} is stale: run make docs\n" for path in stale
        )
        return int(bool(stale))
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], "utf-8")
    return 0
