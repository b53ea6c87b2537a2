"""Reading the shape of untrusted MessagePack before anything is built from it.

A decoder that builds maps with numbers as keys can be stalled for minutes by one frame whose keys collide on purpose,
so the bytes are walked first: keys must be strings (hashed with a secret), and nothing declared is believed.
"""

from __future__ import annotations

import math
import struct

from services.kernel.domain.codes import Code, OpenlineError

MAX_DEPTH = 64
"""Containers inside each other, in data of either format; a scalar alone has depth 0."""


# What an item is. Plain integers: this is read once for every item of every frame.
_SCALAR, _TEXT, _ARRAY, _MAP, _BYTES, _FLOAT, _EXTENSION, _UNUSED = range(8)


def _table() -> list[tuple[int, int, int]]:
    """For each first byte: what follows, its size (bytes, items or pairs), or the width of the size that follows."""
    table = [(_SCALAR, 0, 0)] * 256
    for size in range(16):
        table[0x80 + size] = (_MAP, size, 0)
        table[0x90 + size] = (_ARRAY, size, 0)
    for size in range(32):
        table[0xA0 + size] = (_TEXT, size, 0)
    table[0xC1] = (_UNUSED, 0, 0)
    for power, code in enumerate((0xC4, 0xC5, 0xC6)):
        table[code] = (_BYTES, 0, 1 << power)
        table[code + 0x15] = (_TEXT, 0, 1 << power)
    for code in (0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8):
        table[code] = (_EXTENSION, 0, 0)
    for power in range(4):
        table[0xCC + power] = table[0xD0 + power] = (_SCALAR, 1 << power, 0)
    for power in range(2):
        table[0xCA + power] = (_FLOAT, 4 << power, 0)
        table[0xDC + power] = (_ARRAY, 0, 2 << power)
        table[0xDE + power] = (_MAP, 0, 2 << power)
    return table


_TABLE = _table()

_LEADING = 16


def scan(raw: bytes) -> bool:
    """Whether one MessagePack value holds bytes anywhere. Costs one step an item, whatever sizes it declares.

    Raises `invalid_data` for what data may not hold: depth beyond MAX_DEPTH, a key that is not a string, an extension or
    timestamp, a number that is not finite, or bytes that are not exactly one value. Strings are not checked here.
    """
    try:
        end, has_bytes = _walk(raw)
    except IndexError:
        raise _invalid("the MessagePack value is cut short") from None
    if end != len(raw):
        raise _invalid("the MessagePack value does not end where its bytes do")
    return has_bytes


def leading(raw: bytes) -> bytes:
    """The members of a map before the first that is more than a scalar or text, as a map, 16 at most; empty if it is none.

    It is as valid as they are: what is cut short or no text is not looked at.
    """
    members = begin = end = 0
    try:
        what, left, begin = _head(raw, 0)
        if what != _MAP:
            return b""
        end = begin
        while members < min(left, _LEADING):
            end, members = _scalar(raw, _scalar(raw, end)), members + 1
    except IndexError:
        pass
    return b"\xde%b%b" % (members.to_bytes(2, "big"), raw[begin:end])


def depth(raw: bytes) -> int:
    """The most containers open at once, as far as the bytes can be read; a scalar alone has 0."""
    deepest, at, left = 0, 0, 1
    outer: list[int] = []
    try:
        while left or outer:
            if not left:
                left = outer.pop()
                continue
            what, size, at = _head(raw, at)
            left -= 1
            if what in (_ARRAY, _MAP):
                outer.append(left)
                left = size * 2 if what == _MAP else size
                deepest = max(deepest, len(outer))
            elif what > _FLOAT:
                break
            else:
                at += size
    except IndexError:
        pass
    return deepest


def _head(raw: bytes, at: int) -> tuple[int, int, int]:
    """What an item is, its size, and where its content begins."""
    what, size, width = _TABLE[raw[at]]
    at += 1
    if width:
        size = int.from_bytes(raw[at : at + width], "big")
    return what, size, at + width


def _scalar(raw: bytes, at: int) -> int:
    """Where a scalar or text ends. Raises IndexError for anything else."""
    what, size, begin = _head(raw, at)
    if what > _TEXT:
        raise IndexError
    return begin + size


def _walk(raw: bytes) -> tuple[int, bool]:
    """The end of the value, and whether it holds bytes. Raises IndexError when it is cut short."""
    table, at, has_bytes = _TABLE, 0, False
    left, in_map = 1, False
    outer: list[tuple[int, bool]] = []
    while True:
        while not left:
            if not outer:
                return at, has_bytes
            left, in_map = outer.pop()
        what, size, width = table[raw[at]]
        at += 1
        if width:
            size = int.from_bytes(raw[at : at + width], "big")
            at += width
        if in_map and what != _TEXT and not left & 1:
            raise _invalid("keys of objects must be strings")
        left -= 1
        if what <= _TEXT:
            at += size
        elif what <= _MAP:
            outer.append((left, in_map))
            if len(outer) > MAX_DEPTH:
                raise _invalid(f"nested more than {MAX_DEPTH} deep")
            in_map = what == _MAP
            left = size * 2 if in_map else size
        else:
            has_bytes |= _check(what, raw, at=at, size=size)
            at += size


def _check(what: int, raw: bytes, *, at: int, size: int) -> bool:
    if what == _BYTES:
        return True
    if what == _FLOAT:
        if at + size <= len(raw):
            (number,) = struct.unpack_from(">f" if size == 4 else ">d", raw, at)  # noqa: PLR2004
            if not math.isfinite(number):
                raise _invalid("numbers must be finite")
        return False
    if what == _EXTENSION:
        raise _invalid("MessagePack extensions and timestamps are not carried")
    raise _invalid("the MessagePack value holds the unused byte 0xc1")


def _invalid(reason: str) -> OpenlineError:
    return OpenlineError(Code.INVALID_DATA, f"data: {reason}")
