"""A transport that holds the head of an answer for the body that follows at once, and a refusal for the body of its request."""

from __future__ import annotations

import asyncio
from typing import Any

SMALL = 65_536
"""Bytes of a body up to which joining costs less than a second write does."""

_REFUSALS = (b"HTTP/1.1 4", b"HTTP/1.1 5")


class JoinedWrites:
    """Every second write leaves with the one before it, if both come in one turn of the loop; a single one leaves after it.

    uvicorn writes head and body apart: two system calls, and two packets that each wake whoever reads. All else is the
    transport's own.

    While `body_due` is set, a refusal (4xx, 5xx) waits for `release`, and so does the close behind it: nginx
    ends a client's kept connection, without a word, where a refusal comes before the body that it is passing on.
    """

    __slots__ = ("_closing", "_held", "_loop", "_refusal", "body_due", "whole")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.whole = transport
        self._loop = loop
        self._held: bytes | None = None
        self.body_due = False
        self._refusal = b""
        self._closing = False

    def release(self) -> None:
        """The body of the request has come, or will not."""
        self.body_due = False
        refusal, self._refusal = self._refusal, b""
        if refusal and not self.whole.is_closing():
            self.whole.write(refusal)
            if self._closing:
                self.whole.close()

    def write(self, data: bytes) -> None:
        """See asyncio."""
        if self.body_due:
            if self._refusal or data.startswith(_REFUSALS):
                self._refusal += data
                return
            self.body_due = False  # another answer has begun
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
        if self._refusal:
            self._closing = True
            return
        self._flush()
        self.whole.close()

    def _flush(self) -> None:
        held, self._held = self._held, None
        if held is not None and not self.whole.is_closing():
            self.whole.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)
