"""A PostgreSQL of the tests' own: in a folder of its own, on a free port, gone with the test session."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.ports import free_port

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextmanager
def running() -> Iterator[str]:
    """Its URL for SQLAlchemy. PostgreSQL refuses to run as root, so there it runs as `postgres`.

    Without a server the test fails where scripts/setup.sh would have installed one, and is skipped on other systems.
    """
    if not BINARIES:
        why = "PostgreSQL is not installed (Debian: postgresql); `make clients` and `make test-slow` install it"
        (pytest.fail if shutil.which("apt-get") else pytest.skip)(why)
    folder = Path(tempfile.mkdtemp(prefix="openline-postgres-"))
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    if os.geteuid() == 0:
        shutil.chown(folder, user, user)
    port = free_port()
    data = str(folder / "data")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    try:
        _run(
            user, "initdb", "-D", data, "-U", "openline", "-A", "trust", "-E", "UTF8", "--locale=C"
        )
        _run(user, "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        yield f"postgresql+psycopg://openline@127.0.0.1:{port}/postgres"
    finally:
        _run(user, "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop", check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _run(user: str, program: str, *arguments: str, check: bool = True) -> None:
    command = [str(BINARIES[-1] / program), *arguments]
    if os.geteuid() == 0:
        command = ["runuser", "-u", user, "--", *command]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"{program}: {done.stderr or done.stdout}")
