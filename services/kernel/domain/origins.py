"""Which browser origins may use the services: our own, and those that `OPENLINE_ALLOWED_ORIGINS` lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_ANY_PORT = ":*"
_PATTERN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:(\*|[0-9]{1,5}))?\Z")


class Origins:
    """Allowed origins: exact ones, and `scheme://host:*` for every port of a host."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        checked = [check(pattern) for pattern in patterns]
        self._exact = {_parts(p) for p in checked if not p.endswith(_ANY_PORT)}
        self._hosts = {_parts(p[:-2])[:2] for p in checked if p.endswith(_ANY_PORT)}

    def allows(self, origin: str, host: str | None = None) -> bool:
        """Whether a browser on `origin` may. `host` is the request's Host header: the same host and port is our own.

        The scheme of our own is not compared: a proxy that ends TLS before us would make every https origin foreign.
        """
        try:
            scheme, name, port = _parts(origin)
        except ValueError:
            return False
        if (scheme, name, port) in self._exact or (scheme, name) in self._hosts:
            return True
        try:
            return host is not None and _parts(f"{scheme}://{host}")[1:] == (name, port)
        except ValueError:
            return False


def check(pattern: str) -> str:
    """The pattern in lower case. Raises ValueError saying how an origin is written."""
    lowered = pattern.lower().rstrip("/")
    if not _PATTERN.match(lowered):
        raise ValueError(
            f"{pattern!r} is not an origin; write scheme://host, scheme://host:port or scheme://host:*"
        )
    return lowered


def _parts(origin: str) -> tuple[str, str, int]:
    parts = urlsplit(origin.lower())
    if parts.scheme not in _PORTS or not parts.hostname or parts.path or parts.query:
        raise ValueError(origin)
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]
