"""What `connected` says of the gateway, the same to all its clients."""

from __future__ import annotations

from typing import Any

from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Namespaces


def announcement(
    node: str, limits: Limits, namespaces: Namespaces, *, version: str
) -> dict[str, Any]:
    """The fields of the node called `node`; its limits keep a client that heeds them from being refused."""
    return {
        "node": node,
        "ping": whole(limits.ping_seconds),
        "limits": {
            "commands": whole(limits.command_rate) if limits.rates else None,
            "burst": limits.command_burst if limits.rates else None,
            "channels": limits.channels_per_connection,
            "message_bytes": max(namespace.message_bytes for namespace in namespaces),
        },
        "version": version,
    }


def whole(seconds: float) -> float:
    """The same number, as an integer where it is one: 25, not 25.0."""
    return int(seconds) if seconds == int(seconds) else seconds
