"""Server-Sent Events: blocks of text, and one opaque cursor over all the channels of a stream (WHATWG HTML 9.2)."""

from __future__ import annotations

import math
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping

from services.kernel.domain import channels, positions
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position

MAX_CURSOR = 16_000
"""Characters of the longest cursor that is read: a header line of 16 KiB is what nginx lets through."""

HEARTBEAT = b":\n\n"
"""A comment: nothing for the reader, but life for every proxy between."""

_VERSION = "1"


def block(event: str, data: bytes, *, cursor: str | None = None) -> bytes:
    """One event. `data` must be JSON without line breaks; `cursor` is where the reader will be after it."""
    if cursor is None:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    return b"event: %b\ndata: %b\nid: %b\n\n" % (event.encode(), data, cursor.encode())


def data(text: bytes) -> bytes:
    """One event without a name, of JSON without line breaks."""
    return b"data: %b\n\n" % text


def retry(milliseconds: int) -> bytes:
    """A line of the block that follows: how long a reader should wait before it connects again."""
    return b"retry: %d\n" % milliseconds


def encode_cursor(at: Mapping[str, Position]) -> str:
    """A stream's positions as text that URLs and headers carry unchanged."""
    text = "\n".join(f"{channel} {position}" for channel, position in at.items())
    return _VERSION + urlsafe_b64encode(text.encode()).decode().rstrip("=")


def longest_cursor(names: Iterable[str]) -> int:
    """Characters that a cursor over these channels may come to have: an epoch has 32 at most, an offset 19."""
    size = sum(len(name) + len(" ") + 32 + len(":") + 19 + len("\n") for name in names)
    return len(_VERSION) + math.ceil(size * 4 / 3)


def decode_cursor(cursor: str) -> dict[str, Position]:
    """The positions in a cursor. Raises `bad_request` for anything but what encode_cursor makes."""
    if len(cursor) > MAX_CURSOR:
        raise OpenlineError(Code.BAD_REQUEST, f"cursor: more than {MAX_CURSOR} characters")
    try:
        at = dict(_position(line) for line in _lines(cursor))
    except (ValueError, OpenlineError):
        raise _unknown() from None
    if encode_cursor(at) != cursor:
        raise _unknown()
    return at


def _lines(cursor: str) -> list[str]:
    packed = cursor[len(_VERSION) :].encode("ascii")
    text = b64decode(packed + b"=" * (-len(packed) % 4), altchars=b"-_", validate=True).decode()
    return text.split("\n") if text else []


def _position(line: str) -> tuple[str, Position]:
    channel, _, position = line.partition(" ")
    channels.split(channel)
    return channel, positions.parse(position)


def _unknown() -> OpenlineError:
    return OpenlineError(
        Code.BAD_REQUEST, "cursor: send back the id of an event as it came, or leave it out"
    )
