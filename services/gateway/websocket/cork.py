"""A handshake's answer that leaves together with what is said first: one write and one packet instead of two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.gateway.websocket.lean_connection import LeanConnection

HOLD = 0.025
"""Seconds that an answer waits at least for company; twice as many at most."""


class Cork:
    """Stands in for the transport of `connection` until the first write. `release` sends the answer alone."""

    __slots__ = ("_answer", "_connection", "_transport")

    def __init__(
        self, connection: LeanConnection, transport: asyncio.Transport, answer: bytes
    ) -> None:
        self._connection: LeanConnection | None = connection
        self._transport = transport
        self._answer = answer
        connection.reach(self)  # type: ignore[arg-type]  # it has all that a transport has

    def write(self, data: bytes) -> None:
        """The answer and the first frames."""
        answer, self._answer = self._answer, b""
        if self._connection is not None:
            self._connection.reach(self._transport)
            self._connection = None
        self._transport.write(answer + data)

    def release(self) -> None:
        """Nothing else came in time."""
        if self._connection is not None and not self._transport.is_closing():
            self.write(b"")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Corks:
    """Releases what nothing was written to: one timer for all of them, and none while there are none."""

    __slots__ = ("_loop", "_new", "_old")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._new: list[Cork] = []
        self._old: list[Cork] = []

    def add(self, cork: Cork) -> None:
        """Release it after HOLD seconds or a little later, if it is still needed."""
        if not self._new and not self._old:
            self._loop.call_later(HOLD, self._turn)
        self._new.append(cork)

    def _turn(self) -> None:
        due, self._old, self._new = self._old, self._new, []
        if self._old:
            self._loop.call_later(HOLD, self._turn)
        for cork in due:
            cork.release()
