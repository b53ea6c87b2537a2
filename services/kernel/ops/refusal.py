"""How a service refuses to start: one line on standard error and exit status 2."""

from __future__ import annotations

import sys
from typing import NoReturn


def refuse(line: str) -> NoReturn:
    """Ends the process with exit status 2. `line` says what is wrong and what to change; it stays one line."""
    sys.stderr.write(" ".join(line.split()) + "\n")
    sys.stderr.flush()
    raise SystemExit(2)
