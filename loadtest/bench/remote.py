"""A process of the bench's own that takes commands as JSON lines: load clients and feeders."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class RemoteError(Exception):
    """The process ended or did not answer in time."""


class Remote:
    """`python -m loadtest.bench.<name>`, until closed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", f"loadtest.bench.{name}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for us, who end it.
            start_new_session=True,
        )
        self._buffer = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, do: str, *, patience: float = 120, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer, `patience` seconds at most. Raises RemoteError."""
        self.tell(do, **fields)
        return self.hear(patience)

    def tell(self, do: str, **fields: Any) -> None:
        """Send a command; `hear` takes its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self, patience: float = 120) -> dict[str, Any]:
        """Wait for the next answer. Raises RemoteError."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise RemoteError(f"{self._name} did not answer within {patience:g} s")
                data = os.read(self._process.stdout.fileno(), 1 << 20)
                if not data:
                    raise RemoteError(f"{self._name} has ended; its error is above")
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RemoteError(f"{self._name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
