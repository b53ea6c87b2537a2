"""A Lua script that a connection makes known to its server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """One operation: its whole source, and the SHA-1 (hex) that EVALSHA names it by."""

    name: str
    source: bytes
    sha: bytes
