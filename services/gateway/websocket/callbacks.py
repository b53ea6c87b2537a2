"""Calling a session from its connection."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from services.gateway.websocket.interface import Connection

_log = structlog.get_logger(__name__)


def tell(connection: Connection, callback: Callable[..., None], *args: object) -> None:
    """Call back; what a session raises is logged and is its own connection's end, with 1011."""
    try:
        callback(*args)
    except Exception:  # noqa: BLE001 - whatever it is, the server and the other connections go on
        _log.exception("receiver_failed", address=connection.address)
        connection.close(1011, "internal error")
