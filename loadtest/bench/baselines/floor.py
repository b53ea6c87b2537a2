"""Python's floor: a bare uvloop protocol that frames a message once and writes the same bytes to every transport.

No library, no session, no permissions, no limits: what is left is the event loop and the system call.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import sys
from typing import cast

import uvloop

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE = 8


class Floor(asyncio.Protocol):
    """A connection. Takes whole text messages below 64 KiB; everything else is ignored."""

    everyone: set[asyncio.WriteTransport] = set()  # noqa: RUF012 - shared on purpose

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(
            "asyncio.WriteTransport", transport
        )  # uvloop's is not derived from it

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """See asyncio."""
        self.everyone.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._buffer += data
        if not self._upgraded and b"\r\n\r\n" in self._buffer:
            self._upgrade()
        while self._upgraded and self._frame():
            pass

    def _upgrade(self) -> None:
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = (line.split(b":", 1) for line in head.split(b"\r\n")[1:])
        key = {name.lower(): value.strip() for name, value in lines}[b"sec-websocket-key"]
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._upgraded = True
        self.everyone.add(self._transport)

    def _frame(self) -> bool:
        data = self._buffer
        if len(data) < 2:  # noqa: PLR2004 - RFC 6455 section 5.2
            return False
        size, start = data[1] & 0x7F, 2
        if size == 126:  # noqa: PLR2004
            size, start = int.from_bytes(data[2:4], "big"), 4
        end = start + 4 + size
        if len(data) < end:
            return False
        key, masked, self._buffer = data[start : start + 4], data[start + 4 : end], data[end:]
        if data[0] & 0x0F == _CLOSE:
            self._transport.close()
            return False
        stream = (key * (size // 4 + 1))[:size]
        plain = int.from_bytes(masked, "big") ^ int.from_bytes(stream, "big")
        broadcast(plain.to_bytes(size, "big"))
        return True


def framed(message: bytes) -> bytes:
    """A text frame of a server, RFC 6455 section 5.2."""
    size = len(message)
    head = struct.pack("!BB", 0x81, size) if size < 126 else struct.pack("!BBH", 0x81, 126, size)  # noqa: PLR2004
    return head + message


def broadcast(message: bytes) -> None:
    """One frame, one write each."""
    frame = framed(message)
    for transport in Floor.everyone:
        transport.write(frame)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(
        Floor, "127.0.0.1", int(sys.argv[1]), backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
