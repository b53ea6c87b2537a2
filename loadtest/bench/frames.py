"""WebSocket frames as a client needs them (RFC 6455 section 5): masked ones out, unmasked ones in."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

_WHOLE = 0x80
_SHORT = 126
_LONG = 127


class Split(NamedTuple):
    """Whole frames as `(opcode, payload)`, and the bytes of the frame that is not whole yet."""

    frames: list[tuple[int, bytes]]
    rest: bytes


class FrameError(ValueError):
    """The server sent what this client does not take: a fragment, a compressed or a masked frame."""


def client(opcode: int, payload: bytes) -> bytes:
    """A whole masked frame."""
    size = len(payload)
    if size < _SHORT:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | _SHORT, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | _LONG, size)
    key = os.urandom(4)
    stream = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return head + key + masked.to_bytes(size, "big")


def split(data: bytes) -> Split:
    """Take a server's bytes apart. Raises FrameError."""
    frames = []
    at, end = 0, len(data)
    while end - at >= 2:  # noqa: PLR2004 - the two bytes that every frame has
        first, size = data[at], data[at + 1]
        if first & 0xF0 != _WHOLE or size & 0x80:
            raise FrameError(f"not a whole, plain, unmasked frame: {data[at : at + 16]!r}")
        start = at + 2
        if size == _SHORT:
            start += 2
            size = int.from_bytes(data[at + 2 : start], "big")
        elif size == _LONG:
            start += 8
            size = int.from_bytes(data[at + 2 : start], "big")
        if start + size > end:
            break
        frames.append((first & 0x0F, data[start : start + size]))
        at = start + size
    return Split(frames, data[at:])


def request(path: str, host: str, *, headers: str = "") -> bytes:
    """The opening handshake (section 4.1). `headers` are whole lines, each with its line end."""
    # The same key each time: it protects from caches, and there is none here.
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()
