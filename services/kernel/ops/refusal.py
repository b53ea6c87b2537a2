"""How a service refuses to start: one line on standard error and exit status 2."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def refuse(line: str) -> NoReturn:
    """Ends the process with exit status 2. `line` says what is wrong and what to change; it stays one line."""
    _tell(line)
    raise SystemExit(2)


def refuse_now(line: str) -> NoReturn:
    """The same while a server's event loop runs, which would log a SystemExit with its traceback below the line."""
    _tell(line)
    sys.stdout.flush()
    os._exit(2)


def _tell(line: str) -> None:
    sys.stderr.write(" ".join(line.split()) + "\n")
    sys.stderr.flush()
