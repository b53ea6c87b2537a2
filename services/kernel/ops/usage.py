"""`--help` of a service: what it is and every variable that it reads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic_settings import BaseSettings

from services.kernel.ops.refusal import refuse
from services.kernel.ops.settings import PREFIX


def check_arguments(
    service: str, what: str, settings: type[BaseSettings], *, arguments: Sequence[str] | None = None
) -> None:
    """Print the help and end for `--help` or `-h`; any other argument ends the process with one line."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        return
    if set(given) <= {"-h", "--help"}:
        sys.stdout.write(text(service, what, settings))
        raise SystemExit(0)
    refuse(f"services.{service} takes no arguments, only OPENLINE_ variables; --help lists them")


def text(service: str, what: str, settings: type[BaseSettings]) -> str:
    """The help: the service in a sentence, then its variables with their defaults."""
    lines = [f"python -m services.{service}", "", what, "", "It is configured by variables alone:"]
    for name, field in settings.model_fields.items():
        variable = name.upper() if name.upper().startswith(PREFIX) else PREFIX + name.upper()
        lines += ["", f"  {variable}", f"      {field.description}"]
        if default := shown(field.default):
            lines[-1] += f" (default: {default})"
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    """A setting's value as it would be given; empty for none, and for a default that follows another setting."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, str | int | float | Path) else ""
