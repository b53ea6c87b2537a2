"""API clients of a running stack, also with less scope than the demo client, limited to channels or in their rate."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

import httpx2

from tests.support import administration
from tests.support.stack import Stack


def add_client(
    stack: Stack,
    scope: str,
    channels: Mapping[str, Any] | None = None,
    *,
    rate: float | None = None,
) -> tuple[str, str]:
    """Add a client with the administration command; its id and secret."""
    name = f"client-{secrets.token_hex(4)}"
    limited = [] if channels is None else ["--channels", json.dumps(channels)]
    if rate is not None:
        limited += ["--rate", str(rate)]
    made = administer(stack, "add-client", name, "--scope", scope, *limited)
    return made["client_id"], made["client_secret"]


def administer(stack: Stack, *arguments: str) -> dict[str, Any]:
    """Run auth's administration command over the stack's database; what it printed."""
    environment = {
        **stack.environment,
        "OPENLINE_DATABASE_URL": f"sqlite:///{stack.var / 'auth.db'}",
        "OPENLINE_REDIS_URL": stack.run["redis"],
    }
    done = administration.administer(environment, *arguments)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def token_of(stack: Stack, client: tuple[str, str], scope: str | None = None) -> str:
    """An access token of a client, with all that it holds unless `scope` asks for less."""
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    answer = httpx2.post(f"{stack.url}/auth/token", data=form, auth=client)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def demo_client(run: Mapping[str, Any]) -> tuple[str, str]:
    """Id and secret of the demo client, which holds every scope."""
    client = run["clients"][0]
    return client["client_id"], client["client_secret"]
