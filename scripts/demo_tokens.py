"""Prints tokens of a running `make run` as lines for a shell: `eval "$(python3 scripts/demo_tokens.py)"`.

Sets BACKEND (the demo client, every scope) and one variable for each demo user (ALICE, BOB). They are good for an hour.
Needs nothing but Python's own library.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen


def tokens(run: dict[str, Any]) -> dict[str, str]:
    """Access tokens by the name of their variable; `run` is the content of run.json."""
    client = run["clients"][0]
    secret = {name: client[name] for name in ("client_id", "client_secret")}
    found = {"BACKEND": _token(run, grant_type="client_credentials", **secret)}
    for user in run["users"]:
        found[user["username"].upper()] = _token(run, grant_type="password", **user)
    return found


def _token(run: dict[str, Any], **form: str) -> str:
    address = f"{run['front_door']}/auth/token"
    with urlopen(address, urlencode(form).encode(), timeout=10) as answer:  # noqa: S310 - our own file's http:// address
        token: str = json.load(answer)["access_token"]
    return token


def main() -> int:
    """Print the lines; 1 and one line on standard error when nothing runs."""
    path = Path(os.environ.get("OPENLINE_VAR") or "var") / "run.json"
    try:
        found = tokens(json.loads(path.read_text("utf-8")))
    except (OSError, URLError) as error:
        sys.stderr.write(
            f"no tokens by {path}: {error}; is `make run` up, and OPENLINE_VAR its data folder?\n"
        )
        return 1
    for name, token in found.items():
        sys.stdout.write(f"export {name}={shlex.quote(token)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
