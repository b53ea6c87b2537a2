"""Instructions that processes execute, as the processor counts them: unlike CPU time no neighbour changes them."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterable
from functools import cache

EVENT = "instructions"
_COUNT = ["perf", "stat", "-x", ";", "-e"]


class Instructions:
    """Counts from when it is made until `stop`; nothing where the machine does not count (virtual ones rarely do)."""

    def __init__(self, pids: Iterable[int], *, event: str = EVENT) -> None:
        self._event = event
        self._perf: subprocess.Popen[str] | None = None
        if counts(event):
            of = ",".join(map(str, pids))
            self._perf = subprocess.Popen(  # noqa: S603 - our own command
                [*_COUNT, event, "-p", of],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )

    def stop(self) -> float | None:
        """How many there were in all processes, user and kernel; None where they are not counted."""
        if self._perf is None:
            return None
        self._perf.send_signal(signal.SIGINT)
        _, told = self._perf.communicate(timeout=10)
        return counted(told)


@cache
def counts(event: str = EVENT) -> bool:
    """Whether this machine counts them, and lets us."""
    if shutil.which("perf") is None:
        return False
    done = subprocess.run(  # noqa: S603 - our own command
        [*_COUNT, event, "true"], capture_output=True, text=True, check=False, timeout=10
    )
    return done.returncode == 0 and counted(done.stderr) is not None


def counted(told: str) -> float | None:
    """The figure in what `perf stat -x ';'` tells; None when it says that it could not."""
    for line in told.splitlines():
        figure, *rest = line.split(";")
        if len(rest) > 1 and figure.replace(".", "", 1).isdigit():
            return float(figure)
    return None
