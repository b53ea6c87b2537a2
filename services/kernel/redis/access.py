"""What opens a connection beside the URL: certificates and a password, read anew for each connection, so that they can be
replaced while services run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.ending import end
from services.kernel.redis.errors import NoPasswordError

PATIENCE = 10.0
"""Seconds that the command may take."""

MOST = 16_384
"""Bytes that a password may have; tokens of clouds have some thousand."""

RENEW = 0.75
"""Part of a password's time after which the next one is fetched: what is left is for tries, and for reads that block."""

AGAIN = 5.0
"""Seconds until the command is run again after it failed."""

YOUNG = 1.0
"""Seconds for which a password that is refused is not fetched anew: whoever has the wrong user would run it on and on."""

_COMMAND = "OPENLINE_REDIS_PASSWORD_COMMAND"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """Files and a command, as settings name them; `password_seconds` are those for which a printed password is good.

    Certificates are for URLs of TLS, passwords for URLs that hold none.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    password_file: Path | None = None
    password_command: str = ""
    password_seconds: int = 900

    def certificates(self) -> dict[str, str]:
        """redis-py's options for a connection by TLS. Raises ConfigurationError for a file that cannot be read now."""
        found: dict[str, str] = {}
        for option, name, path in (
            ("ssl_ca_certs", "CA", self.ca_file),
            ("ssl_certfile", "CERT", self.cert_file),
            ("ssl_keyfile", "KEY", self.key_file),
        ):
            if path is not None:
                _read(f"OPENLINE_REDIS_{name}_FILE", path)
                found[option] = str(path)
        return found


def check_access(access: Access, urls: Iterable[str]) -> None:
    """Refuse what can never work together, or would count nowhere. Raises ValueError, which shows no URL."""
    parts = [url.partition("://")[::2] for url in urls]
    files = access.ca_file or access.cert_file or access.key_file
    if files is not None and not any(scheme.startswith("rediss") for scheme, _ in parts):
        raise ValueError(
            "OPENLINE_REDIS_CA_FILE, _CERT_FILE and _KEY_FILE are for TLS: write rediss:// in place of redis://"
        )
    if access.key_file is not None and access.cert_file is None:
        raise ValueError(
            "OPENLINE_REDIS_KEY_FILE is set without OPENLINE_REDIS_CERT_FILE: set both"
        )
    if access.password_file is not None and access.password_command:
        raise ValueError(
            "OPENLINE_REDIS_PASSWORD_FILE and OPENLINE_REDIS_PASSWORD_COMMAND are both set: unset one"
        )
    if (access.password_file or access.password_command) and not any(
        ":" not in rest.partition("/")[0].rpartition("@")[0] for _, rest in parts
    ):
        raise ValueError(
            "OPENLINE_REDIS_PASSWORD_FILE and _COMMAND are for URLs without a password:"
            " take it out, as in rediss://user@host:6379/0"
        )
    try:
        shlex.split(access.password_command)
    except ValueError as error:
        raise ValueError(f"{_COMMAND} cannot be read: {error}") from None


class Passwords(Protocol):
    """Knows the servers' password."""

    async def current(self) -> str:
        """The password for a new connection. Raises ConfigurationError or NoPasswordError."""

    def refuse(self) -> None:
        """A server has refused what `current` gave."""

    async def close(self) -> None:
        """Fetch none any more."""


def passwords(access: Access, *, renewed: Callable[[str], None]) -> Passwords | None:
    """Those that settings ask for, if they do. `renewed` gets each later one of a command: open links need it, too."""
    if access.password_command:
        command = shlex.split(access.password_command)
        return PasswordCommand(command, seconds=access.password_seconds, renewed=renewed)
    return None if access.password_file is None else PasswordFile(access.password_file)


class PasswordFile:
    """A file that holds the password alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def current(self) -> str:
        """As `Passwords.current`."""
        return _read("OPENLINE_REDIS_PASSWORD_FILE", self._path).decode("utf-8", "replace").strip()

    def refuse(self) -> None:
        """As `Passwords.refuse`: the next connection reads the file anyway."""

    async def close(self) -> None:
        """As `Passwords.close`."""


class PasswordCommand:
    """A command whose first line of output is a password that is good for some seconds."""

    def __init__(
        self, command: list[str], *, seconds: float, renewed: Callable[[str], None]
    ) -> None:
        self._command = command
        self._seconds = seconds
        self._renewed = renewed
        self._password = ""
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def current(self) -> str:
        """As `Passwords.current`. While the command fails, the last password until its time is over."""
        async with self._lock:
            if not self._password or self._age() >= self._seconds:
                await self._fetch()
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        return self._password

    def refuse(self) -> None:
        """As `Passwords.refuse`: it was replaced before its time was over."""
        if self._age() > YOUNG:
            self._password = ""

    async def close(self) -> None:
        """As `Passwords.close`."""
        if self._keeper is not None:
            await end(self._keeper)

    async def _keep(self) -> None:
        """Fetch the next password before the time of each is over."""
        wait = self._seconds * RENEW
        while True:
            await asyncio.sleep(wait)
            wait = self._seconds * RENEW - self._age()
            if wait > 0:
                continue  # somebody who connected has fetched one meanwhile
            wait = self._seconds * RENEW
            try:
                async with self._lock:
                    await self._fetch()
                self._renewed(self._password)
            except (NoPasswordError, ConfigurationError) as error:
                _log.warning("redis_password_renewal_failed", extra={"reason": str(error)})
                wait = AGAIN

    async def _fetch(self) -> None:
        self._password = await run(self._command)
        self._fetched = asyncio.get_running_loop().time()

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._fetched


async def run(command: list[str]) -> str:
    """The first line that a command prints; what else it says is shown to nobody, since it may be secret.

    Raises ConfigurationError for one that cannot be run at all, else NoPasswordError.
    """
    # A pipe of ours holds what it prints: those of asyncio are waited for as long as any child of its child lives.
    ours, its = os.pipe()
    try:
        try:
            status = await _status(command, its)
        finally:
            os.close(its)
        if status != 0:
            raise NoPasswordError(f"{_COMMAND} failed with exit status {status}")
        os.set_blocking(ours, False)
        with suppress(BlockingIOError):
            return _first_line(os.read(ours, MOST + 1))
        raise NoPasswordError(f"{_COMMAND} printed no password")
    finally:
        os.close(ours)


async def _status(command: list[str], output: int) -> int:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise ConfigurationError(
            f"{_COMMAND} cannot be run: {error.strerror}; name a program that can, with its arguments"
        ) from error
    try:
        async with asyncio.timeout(PATIENCE):
            return await process.wait()
    except TimeoutError:
        raise NoPasswordError(f"{_COMMAND} has not ended within {PATIENCE:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _first_line(output: bytes) -> str:
    line = output.partition(b"\n")[0]
    if len(line) > MOST:
        raise NoPasswordError(f"{_COMMAND} printed no password, but too long a line")
    password = line.decode("utf-8", "replace").strip()
    if not password:
        raise NoPasswordError(f"{_COMMAND} printed no password")
    return password


def _read(variable: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{variable}={path}: {error.strerror}; name a file that can be read"
        ) from error


_: type[Passwords] = PasswordFile
_1: type[Passwords] = PasswordCommand
