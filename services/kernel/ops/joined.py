"""HTTP as uvicorn speaks it, but an answer's head and body leave in one write: on a socket each is a system call."""

from __future__ import annotations

import asyncio
from typing import Any

from services.kernel.ops.http_protocol import HttpProtocol


class Joining:
    """A transport that joins what is written in one turn of the loop; everything else is the transport's own."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """See asyncio.Transport."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """See asyncio.Transport: what was written before still leaves."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class JoinedProtocol(HttpProtocol):
    """Our protocol over a transport that joins."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(Joining(transport, self.loop))  # type: ignore[arg-type]
