"""The fenced examples of the documentation, and somebody who follows them on a running stack."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$|^(#{1,3}) ([^\n]+)$", re.MULTILINE | re.DOTALL)
_BIN = Path(sys.executable).parent
# By system, since when: logging in for each reader would be more work than most examples.
_tokens: dict[str, tuple[float, dict[str, str]]] = {}
_TOKENS_SECONDS = 600


class Block(NamedTuple):
    """One fenced example: its page, the heading above it, and the number among that heading's examples."""

    page: str
    heading: str
    number: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page} / {self.heading} / {self.number} ({self.language})"


def headings(page: str, level: int = 2) -> list[str]:
    """The page's headings of a level."""
    return [
        match[4]
        for match in _FENCE.finditer((ROOT / page).read_text("utf-8"))
        if match[3] == "#" * level
    ]


def blocks(page: str, heading: str | None = None) -> list[Block]:
    """The page's examples in their order, or those under one heading."""
    found: list[Block] = []
    above = ""
    for match in _FENCE.finditer((ROOT / page).read_text("utf-8")):
        if match[4]:
            above = match[4]
            continue
        number = sum(block.heading == above for block in found)
        found.append(Block(page, above, number, match[1], match[2]))
    return [block for block in found if heading in (None, block.heading)]


def example(page: str, heading: str, *numbers: int) -> list[Block]:
    """The examples under one heading that have these numbers."""
    found = blocks(page, heading)
    return [found[number] for number in numbers]


class Running:
    """An example that was started and goes on. What it prints is in a file, and so is what it complains about."""

    def __init__(self, process: subprocess.Popen[bytes], printed: Path) -> None:
        self.process = process
        self._printed = printed

    @property
    def printed(self) -> str:
        """Everything so far."""
        return self._printed.read_text("utf-8")

    def wait_for(self, text: str, *, timeout: float = 45) -> None:
        """Until it has printed this."""
        try:
            wait_until(lambda: text in self.printed, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"{text!r} was not printed, but:\n{self.printed}") from None

    def type(self, line: str) -> None:
        """What a person types into it."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()


class Follower:
    """Runs examples as they stand, but for the addresses of the stack and a room name that nobody else uses."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.room = f"lobby-{secrets.token_hex(4)}"
        self._started: list[Running] = []
        path = f"{_BIN}{os.pathsep}{os.environ['PATH']}"
        self.environment = {
            **os.environ,
            "PATH": path,
            "OPENLINE_VAR": str(stack.var),
            "PYTHONPATH": str(ROOT / "clients/python/src"),
            "PYTHONUNBUFFERED": "1",
        }
        self.environment |= self._tokens()

    def code(self, block: Block) -> str:
        """The example with the stack's addresses."""
        code = block.code.replace(". .venv/bin/activate", ":").replace("lobby", self.room)
        code = code.replace("var/run.json", str(self.stack.var / "run.json"))
        run = self.stack.run
        services = {8080: run["front_door"], 8200: run["auth"], 8300: run["publisher"]}
        services |= {8101 + number: url for number, url in enumerate(run["gateways"])}
        for port, url in services.items():
            code = code.replace(f"127.0.0.1:{port}", url.partition("://")[2])
        return code

    def run(self, block: Block, *, after: str = "", **variables: str) -> str:
        """What an example prints that comes to an end; `after` is run behind it. Fails unless it succeeds."""
        result = subprocess.run(
            self._command(block, after=after),
            cwd=ROOT,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def start(self, block: Block, *, after: str = "", **variables: str) -> Running:
        """An example that goes on until the test ends."""
        printed = self.folder / f"printed-{len(self._started)}.txt"
        with printed.open("wb") as output:
            process = subprocess.Popen(
                self._command(block, after=after),
                cwd=ROOT,
                env={**self.environment, **variables},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        running = Running(process, printed)
        self._started.append(running)
        return running

    def _command(self, block: Block, *, after: str) -> list[str]:
        code = f"{self.code(block)}\n{after}"
        if block.language == "python":
            return [sys.executable, "-c", code]
        assert block.language == "sh", block
        return ["sh", "-ec", code]

    def _tokens(self) -> Mapping[str, str]:
        """What `eval "$(python3 scripts/demo_tokens.py)"` sets."""
        system = f"{self.stack.var} {self.stack.pid('supervisor')}"
        made, tokens = _tokens.get(system, (float("-inf"), {}))
        if time.monotonic() - made > _TOKENS_SECONDS:
            lines = subprocess.run(
                [sys.executable, "scripts/demo_tokens.py"],
                cwd=ROOT,
                env=self.environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.splitlines()
            tokens = dict(line.removeprefix("export ").split("=", 1) for line in lines)
            _tokens[system] = (time.monotonic(), tokens)
        return tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
            running.process.communicate()


@contextlib.contextmanager
def following(stack: Stack, folder: Path) -> Iterator[Follower]:
    """Somebody at a terminal, who leaves no process behind."""
    with Follower(stack, folder) as follower:
        yield follower
