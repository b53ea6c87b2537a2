"""Which Openline is loaded, and who we are there."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class TargetError(Exception):
    """The load cannot begin; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`host` is the front door's base URL; client id and secret are those of a back end."""

    host: str
    client_id: str
    client_secret: str

    @property
    def ws(self) -> str:
        """The base URL of WebSockets."""
        return self.host.replace("http", "ws", 1)


def run_file() -> Path:
    """Where `make run` says what it started."""
    return Path(os.environ.get("OPENLINE_VAR") or "var") / "run.json"


def find(
    *, host: str | None, client_id: str | None, secret: str | None, secret_file: str | None
) -> Target:
    """The target that was given; what was not comes from the run on this machine. Raises TargetError."""
    run = _read_run()
    host = host or run.get("front_door")
    if not host:
        raise TargetError("nothing runs here: start it with `make run`, or say where by --host URL")
    if urlsplit(host).scheme not in ("http", "https"):
        raise TargetError(f"--host {host}: begin it with http:// or https://")
    known = (run.get("clients") or [{}])[0] if not client_id else {}
    client_id = client_id or known.get("client_id")
    secret = secret or _read_secret(secret_file) or known.get("client_secret")
    if not client_id or not secret:
        raise TargetError(
            "no client: give --client-id and --client-secret-file (LOAD_CLIENT_ID, LOAD_CLIENT_SECRET_FILE) of a "
            "client with the scopes publish and tokens"
        )
    return Target(host=host.rstrip("/"), client_id=client_id, client_secret=secret)


def _read_run() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(run_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _read_secret(name: str | None) -> str:
    if not name:
        return ""
    try:
        return Path(name).read_text("utf-8").strip()
    except OSError as error:
        raise TargetError(f"--client-secret-file {name}: {error.strerror}") from None
