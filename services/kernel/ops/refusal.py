"""How a service refuses to start: one line on standard error and exit status 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

from services.kernel.domain.configuration import ConfigurationError


def refuse(line: str) -> NoReturn:
    """Ends the process with exit status 2. `line` says what is wrong and what to change; it stays one line."""
    _report(line)
    raise SystemExit(2)


def refuse_now(line: str, *, status: int = 2) -> NoReturn:
    """The same while a server's event loop runs, which would log a SystemExit with its traceback below the line."""
    _report(line)
    sys.stdout.flush()
    os._exit(status)


@contextmanager
def refusing(variables: Mapping[type[Exception], str] | None = None) -> Iterator[None]:
    """Refuse to start when what is made within cannot work as it is configured.

    `variables` names, for errors of other kinds, the variable that is to be corrected.
    """
    variables = variables or {}
    try:
        yield
    except ConfigurationError as error:
        refuse(str(error))
    except tuple(variables) as error:
        name = next(name for kind, name in variables.items() if isinstance(error, kind))
        refuse(f"{name}: {error}")


def _report(line: str) -> None:
    sys.stderr.write(" ".join(line.split()) + "\n")
    sys.stderr.flush()
