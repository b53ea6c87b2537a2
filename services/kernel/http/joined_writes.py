"""A transport that holds the head of an answer for the body that follows at once."""

from __future__ import annotations

import asyncio
from typing import Any

SMALL = 65_536
"""Bytes of a body up to which joining costs less than a second write does."""


class JoinedWrites:
    """Every second write leaves with the one before it, if both come in one turn of the loop; a single one leaves after it.

    uvicorn writes head and body apart: two system calls, and two packets that each wake whoever reads. All else is the
    transport's own.
    """

    __slots__ = ("_held", "_loop", "whole")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.whole = transport
        self._loop = loop
        self._held: bytes | None = None

    def write(self, data: bytes) -> None:
        """See asyncio."""
        held = self._held
        if held is None:
            self._held = data
            self._loop.call_soon(self._flush)
            return
        self._held = None
        if len(data) <= SMALL:
            self.whole.write(held + data)
        else:
            self.whole.write(held)
            self.whole.write(data)

    def close(self) -> None:
        """See asyncio."""
        self._flush()
        self.whole.close()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self.whole.is_closing():
            self.whole.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)
