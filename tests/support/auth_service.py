"""A real auth service process of a test's own: free port, own database and keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx2

from deploy.local.ports import free_port
from tests.support import administration
from tests.support.tied import tied

ISSUER = "http://openline.test"


class AuthService:
    """One process of `python -m services.auth`; several over one `folder` are instances of one service."""

    def __init__(self, folder: Path, redis_url: str, **variables: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"auth-{self.port}.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENLINE_")}
        self.environment = {
            **clean,
            "OPENLINE_VAR": str(folder),
            "OPENLINE_AUTH_PORT": str(self.port),
            "OPENLINE_REDIS_URL": redis_url,
            "OPENLINE_PUBLIC_URL": ISSUER,
            "OPENLINE_JWKS_URLS": f"{self.url}/auth/jwks.json",
            **variables,
        }
        self._start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.auth"],
                env=self.environment,
                stdout=log,
                stderr=log,
                preexec_fn=tied,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(self.log.read_text()[-2000:])
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=1).is_success
        except httpx2.HTTPError:
            return False

    def admin(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line over the same database."""
        return administration.administer(self.environment, *arguments, given=given)

    def add(self, *arguments: str) -> dict[str, Any]:
        """Run an adding command; what it printed."""
        done = self.admin(*arguments)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
