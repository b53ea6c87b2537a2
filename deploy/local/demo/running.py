"""The run beside us, as its `run.json` tells: which gateways there are, and how its publisher is called."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Running:
    """One run. Its file is read anew each time, since process ids follow restarts. Raises OSError while it is not up."""

    var: Path

    def gateways(self) -> dict[str, int | None]:
        """The process id of each gateway; None while it is down."""
        run = self._read()
        names = (f"gateway-{number}" for number in range(1, len(run["gateways"]) + 1))
        return {name: _living(run["pids"].get(name)) for name in names}

    def kill(self, name: str) -> bool:
        """End a gateway without a word, as a crash does. Whether it was up; `make run` starts it again."""
        pid = self.gateways().get(name)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def back_end(self) -> BackEnd:
        """What a back end of this run is given."""
        run = self._read()
        client = run["clients"][0]
        return BackEnd(run["auth"], run["publisher"], client["client_id"], client["client_secret"])

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.var / "run.json").read_text("utf-8"))
        return found


@dataclass(frozen=True, slots=True, repr=False)
class BackEnd:
    """Base URLs of auth and the publisher, and the credentials of a client of auth."""

    auth: str
    publisher: str
    client: str
    secret: str


def _living(pid: int | None) -> int | None:
    """The id, if that process is a gateway still: ids are given anew."""
    if pid is None or sys.platform != "linux":
        return pid
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    return pid if b"services.gateway" in command else None
