"""A system that runs elsewhere: what can happen to it is what needs no host of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from loadtest.chaos.proxy import SteerableProxy
from loadtest.chaos.system import Front


@contextlib.asynccontextmanager
async def attached(url: str, login: Mapping[str, str]) -> AsyncIterator[Front]:
    """Its front door, behind a proxy of ours if it speaks plain HTTP: TLS would not accept another name."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        yield Front(url.rstrip("/"), url.rstrip("/"), None, login)
        return
    assert parts.hostname
    async with SteerableProxy(parts.port or 80, host=parts.hostname) as way:
        yield Front(url.rstrip("/"), f"http://127.0.0.1:{way.port}", way, login)
