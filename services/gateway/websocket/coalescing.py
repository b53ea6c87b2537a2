"""Write coalescing of a handshake: its answer leaves with the first message, in one write and one packet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

HOLD = 0.025
"""Seconds that an answer waits for the first message."""


class Writing(Protocol):
    """What writes to the transport that it was given last."""

    def write_to(self, transport: asyncio.Transport) -> None:
        """Write to this transport from now on."""


class FirstWrite:
    """Stands in for the transport of `connection` until it writes or HOLD seconds have passed. Costs nothing afterwards."""

    __slots__ = ("_answer", "_connection", "_timer", "_transport")

    def __init__(
        self,
        connection: Writing,
        transport: asyncio.Transport,
        answer: bytes,
        *,
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._answer = answer
        self._timer = call_later(HOLD, self._release)
        connection.write_to(self)  # type: ignore[arg-type]  # everything else is the transport's, see below

    def write(self, data: bytes) -> None:
        """The answer and the first message."""
        self._timer.cancel()
        self._connection.write_to(self._transport)
        self._transport.write(self._answer + data)

    def _release(self) -> None:
        """No message came in time: the answer leaves alone."""
        self._connection.write_to(self._transport)
        if not self._transport.is_closing():
            self._transport.write(self._answer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
