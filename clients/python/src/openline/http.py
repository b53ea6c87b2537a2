"""What both publishers do with httpx2: how a client is made, and what its errors mean."""

from __future__ import annotations

import secrets
from importlib import metadata
from typing import Any

import httpx2

from openline.calls import Answer
from openline.errors import OpenlineError

_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)

jitter = secrets.SystemRandom().random
"""Numbers from 0 to 1. No seed: workers that were forked from one process would share it, and try again in step."""


def options(url: str) -> dict[str, Any]:
    """Arguments of `httpx2.Client` and `httpx2.AsyncClient`."""
    found: dict[str, Any] = {
        "base_url": url,
        "limits": _LIMITS,
        "headers": {"User-Agent": f"openline/{_version()}"},
    }
    if url.startswith("http:"):
        # Without TLS there is nothing to verify, and reading the authorities costs a tenth of a second.
        found["verify"] = False
    return found


def answer(response: httpx2.Response) -> Answer:
    """The response as the core reads it."""
    return Answer(response.status_code, response.headers, response.content)


def unreachable(url: str, error: Exception) -> OpenlineError:
    """What was raised instead of an answer: the same may succeed later."""
    if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
        found = OpenlineError(f"{url} did not answer in time", code="timeout", temporary=True)
    else:
        why = str(error) or type(error).__name__
        found = OpenlineError(f"{url} cannot be reached: {why}", code="unavailable", temporary=True)
    found.__cause__ = error
    return found


def _version() -> str:
    try:
        return metadata.version("openline")
    except metadata.PackageNotFoundError:
        return "source"
