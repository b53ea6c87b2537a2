"""One of our services as a real process, on a port of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx2

from deploy.local.ports import free_port
from tests.support.tied import tied

ROOT = Path(__file__).resolve().parents[2]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with only these OPENLINE variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    return {**kept, **variables}


def refusal(name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A start of a service that must end by itself: its exit status and what it printed."""
    return ended("-m", f"services.{name}", **variables)


def ended(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The same of Python with these arguments."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


class ServiceProcess:
    """`python -m services.<name>`; ready when made. A context manager that stops it."""

    def __init__(
        self, name: str, folder: Path, *, wait_for: str = "/readyz", **variables: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"{name}-{self.port}.log"
        settings = {f"OPENLINE_{name.upper()}_PORT": str(self.port), **variables}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                cwd=ROOT,
                env=environment(**settings),
                stdout=log,
                stderr=log,
                preexec_fn=tied,
            )
        try:
            self._wait(wait_for)
        except BaseException:
            self.stop()
            raise

    def _wait(self, path: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(self.url + path, timeout=2).status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the service did not become ready:\n{self.log[-3000:]}")

    @property
    def log(self) -> str:
        """All that it has printed."""
        return self._log.read_text(errors="replace")

    def stop(self) -> int:
        """End it with SIGTERM; its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
