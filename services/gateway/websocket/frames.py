"""WebSocket frames: bytes in, messages and control frames out, and the other way round (RFC 6455 section 5); no I/O."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import NamedTuple

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel with the C extension for this platform
    from websockets.utils import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

Event = tuple[int, bytes]
"""(TEXT, whole message in valid UTF-8), (BINARY, whole message), (CLOSE, valid payload), (PING or PONG, payload)."""

_FIN = 0x80
_RESERVED = 0x70
_MASKED = 0x80
_CONTROL = 0x08
_KNOWN = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_MAX_CONTROL = 125
_MAX_REASON = _MAX_CONTROL - 2
_NO_CODE = 1005
_MORE = "…"

_decoder = codecs.getincrementaldecoder("utf-8")


class Violation(Exception):  # noqa: N818 - it is what the peer did, and it ends in a close code
    """The peer broke the protocol: the close code to fail the connection with, and the reason that it is told."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class _Header(NamedTuple):
    """A frame's header: `size` is the payload's bytes, `start` the payload's first byte in the data parsed."""

    final: bool
    opcode: int
    mask: bytes
    size: int
    start: int


class _Message:
    """A message of which a part has arrived, and the state of its current frame."""

    __slots__ = ("data", "final", "mask", "missing", "opcode", "text")

    def __init__(self, opcode: int) -> None:
        self.opcode = opcode
        self.data = bytearray()
        self.text = _decoder() if opcode == TEXT else None
        self.final = False
        self.mask = b""
        self.missing = 0

    def begin(self, header: _Header) -> None:
        self.final = header.final
        self.mask = header.mask
        self.missing = header.size

    def extend(self, payload: bytes) -> None:
        """Add the next bytes of the current frame, still masked. Raises Violation 1007 at the first bad byte."""
        plain = apply_mask(payload, self.mask)
        shift = len(payload) % 4
        self.mask = self.mask[shift:] + self.mask[:shift]
        self.missing -= len(payload)
        self.data += plain
        if self.text is not None:
            try:
                self.text.decode(plain, self.complete)
            except UnicodeDecodeError as error:
                raise Violation(1007, "a text message must be valid UTF-8") from error

    @property
    def complete(self) -> bool:
        return self.final and not self.missing


class Parser:
    """Parses what a client sends, a frame at a time; holds nothing but a few references while it is quiet.

    `limit` is the largest message in bytes. `violation` is set when the peer broke the protocol: the events until then
    are still good. Nothing is parsed once it is `finished`, by a violation or by a close frame.
    """

    __slots__ = ("_held", "_message", "finished", "limit", "violation")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.violation: Violation | None = None
        self.finished = False
        self._held = b""
        self._message: _Message | None = None

    @property
    def is_inside(self) -> bool:
        """Whether the next bytes go on with a data frame whose header was parsed."""
        return self._message is not None and self._message.missing > 0

    def joined(self, data: bytes) -> bytes:
        """These bytes behind those held of a frame that has not arrived whole: what `parse` takes."""
        held, self._held = self._held, b""
        return held + data if held else data

    def parse(self, data: bytes, position: int) -> tuple[Event | None, int]:
        """Parse one frame, or the part that has arrived: the event that it completes, and where the next one begins.

        `position` is before the end of `data`.
        """
        try:
            event, position = self._advance(data, position)
        except Violation as violation:
            # A copy: the one that was raised holds on to the data by its traceback.
            self.violation = Violation(violation.code, violation.reason)
            self.finished = True
            event, position = None, len(data)
        if self.finished:
            self._message = None
        return event, position

    def _advance(self, data: bytes, position: int) -> tuple[Event | None, int]:
        message = self._message
        if message is not None and message.missing:
            return self._continue(message, data, position)
        header = _header(data, position)
        if header is not None:
            self._check(header)
            end = header.start + header.size
            if header.opcode & _CONTROL:
                if end <= len(data):
                    return self._control(header, data[header.start : end]), end
            elif end <= len(data) and header.final and message is None:
                return _whole(header, data[header.start : end]), end
            else:
                return self._begin(header, data)
        self._held = data[position:]
        return None, len(data)

    def _check(self, header: _Header) -> None:
        """Refuse a frame by its header, before a byte of its payload is kept."""
        message = self._message
        if header.opcode & _CONTROL:
            return
        if (header.opcode == CONTINUATION) != (message is not None):
            raise Violation(
                1002, "a text or binary frame begins a message, continuation frames go on with it"
            )
        if header.size + (len(message.data) if message is not None else 0) > self.limit:
            raise Violation(1009, f"a message may have at most {self.limit} bytes")

    def _begin(self, header: _Header, data: bytes) -> tuple[Event | None, int]:
        """A data frame that is a fragment or has not arrived whole."""
        if self._message is None:
            self._message = _Message(header.opcode)
        self._message.begin(header)
        return self._continue(self._message, data, header.start)

    def _continue(self, message: _Message, data: bytes, position: int) -> tuple[Event | None, int]:
        end = min(position + message.missing, len(data))
        message.extend(data[position:end])
        if not message.complete:
            return None, end
        self._message = None
        return (message.opcode, bytes(message.data)), end

    def _control(self, header: _Header, masked: bytes) -> Event:
        payload = apply_mask(masked, header.mask)
        if header.opcode == CLOSE:
            close_reason(payload)
            self.finished = True
        return header.opcode, payload


def _whole(header: _Header, masked: bytes) -> Event:
    """The fast path: a message in one frame that arrived in one piece."""
    payload = apply_mask(masked, header.mask)
    if header.opcode == TEXT and not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError as error:
            raise Violation(1007, "a text message must be valid UTF-8") from error
    return header.opcode, payload


def _header(data: bytes, position: int) -> _Header | None:
    """The header at `position` (RFC 6455 section 5.2), None while it is incomplete. Raises Violation 1002."""
    available = len(data) - position
    first = data[position]
    _check_first(first)
    if available < 2:  # noqa: PLR2004 - the two bytes that every header has
        return None
    second = data[position + 1]
    if not second & _MASKED:
        raise Violation(1002, "a client's frames must be masked")
    size = second & 0x7F
    if first & _CONTROL and size > _MAX_CONTROL:
        raise Violation(1002, f"a control frame may have at most {_MAX_CONTROL} bytes")
    start = position + 6
    if size > _MAX_CONTROL:
        width = 2 if size == 126 else 8  # noqa: PLR2004 - the two escapes of the RFC
        if available < 2 + width:
            return None
        size = _long_size(data[position + 2 : position + 2 + width])
        start += width
    if len(data) < start:
        return None
    return _Header(bool(first & _FIN), first & 0x0F, data[start - 4 : start], size, start)


def _check_first(first: int) -> None:
    if first & _RESERVED:
        raise Violation(1002, "reserved bits are set and no extension was agreed")
    if first & 0x0F not in _KNOWN:
        raise Violation(1002, f"opcode {first & 0x0F} is not defined")
    if first & _CONTROL and not first & _FIN:
        raise Violation(1002, "a control frame must not be fragmented")


def _long_size(field: bytes) -> int:
    size = int.from_bytes(field, "big")
    if size <= (_MAX_CONTROL if len(field) == 2 else 0xFFFF):  # noqa: PLR2004 - bytes of the short form
        raise Violation(1002, "a length must use the shortest form")
    if size >> 63:
        raise Violation(1002, "a length must be below 2**63")
    return size


def close_reason(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame, (1005, "") of an empty one (RFC 6455 sections 5.5.1 and 7.4).

    Raises Violation: 1002 when the code is missing or not for the wire, 1007 when the reason is not UTF-8.
    """
    if not payload:
        return _NO_CODE, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not sendable(code):
        raise Violation(
            1002, "a close code is 1000-1003, 1007-1014 or 3000-4999; leave it out to give none"
        )
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        raise Violation(1007, "a close frame's reason must be valid UTF-8") from error


def sendable(code: int) -> bool:
    """Whether a close code may appear in a frame: registered ones but 1004-1006 and 1015, and 3000-4999."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999  # noqa: PLR2004 - RFC 6455 section 7.4


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= _MAX_CONTROL:
        return bytes((_FIN | opcode, size)) + payload
    if size <= 0xFFFF:  # noqa: PLR2004 - what 16 bits hold
        return b"%c\x7e%b%b" % (_FIN | opcode, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (_FIN | opcode, size.to_bytes(8, "big"), payload)


def text_frame(payload: bytes) -> bytes:
    """A text message in one frame; `payload` must be UTF-8. The same bytes serve every connection."""
    return _frame(TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """A binary message in one frame."""
    return _frame(BINARY, payload)


def ping_frame(payload: bytes = b"") -> bytes:
    """A ping; `payload` at most 125 bytes."""
    return _frame(PING, payload)


def pong_frame(payload: bytes = b"") -> bytes:
    """A pong; `payload` is the ping's."""
    return _frame(PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; 1005 makes an empty one, a long reason is cut."""
    if code == _NO_CODE:
        return _frame(CLOSE, b"")
    return _frame(CLOSE, code.to_bytes(2, "big") + cut(reason).encode())


def cut(reason: str) -> str:
    """As much of a close reason as a frame holds: 123 bytes, cut between words where it has any, and marked.

    The kernel's `wording.cut` does the same for other texts; this library imports nothing of ours.
    """
    whole = reason.encode("utf-8", "replace")
    if len(whole) <= _MAX_REASON:
        return whole.decode()
    kept = whole[: _MAX_REASON - len(_MORE.encode())].decode("utf-8", "ignore")
    return (kept.rpartition(" ")[0] or kept).rstrip(" ,;:") + _MORE


def split_frames(frames: bytes) -> Iterator[Event]:
    """(opcode, payload) of each of our own frames: whole, unmasked, one or several joined."""
    position = 0
    while position < len(frames):
        opcode, size = frames[position] & 0x0F, frames[position + 1]
        position += 2
        if size > _MAX_CONTROL:
            width = 2 if size == 126 else 8  # noqa: PLR2004 - the two escapes of the RFC
            size = int.from_bytes(frames[position : position + width], "big")
            position += width
        yield opcode, frames[position : position + size]
        position += size
