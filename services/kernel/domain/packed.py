"""Reading untrusted MessagePack: nothing that its bytes declare is believed before it is seen.

A decoder that makes maps with numbers as keys can be stalled for minutes by one frame whose keys collide on purpose, and
one that makes room for what an array declares can be made to ask for any memory. So msgspec skips through the bytes first,
making nothing; ormsgpack then takes strings alone as keys (they are hashed with a secret). Both take nanoseconds an item.
"""

from __future__ import annotations

from typing import Any

import msgspec
import ormsgpack

from services.kernel.domain.codes import Code, OpenlineError

MAX_DEPTH = 64
"""Containers inside each other, in data of either format; a scalar alone has depth 0."""


_SCALAR, _TEXT, _ARRAY, _MAP, _BYTES, _FLOAT, _EXTENSION, _UNUSED = range(8)
"""What an item is."""


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

_LOOKED_AT = 4096

_SHAPE = msgspec.msgpack.Decoder(msgspec.Raw)

_REASONS = {
    "truncated": "the MessagePack value is cut short",
    "trailing": "the MessagePack value does not end where its bytes do",
    "invalid opcode": "the MessagePack value holds the unused byte 0xc1",
    "ecursion": f"nested more than {MAX_DEPTH} deep",
    "ext_hook": "MessagePack extensions and timestamps are not carried",
    "UTF-8": "a string is not UTF-8; send whole characters, not half of a surrogate pair, as in text cut inside an emoji",
    "invalid type": "keys of objects must be strings",
}
"""What a word of the decoders' complaints means to the sender of the bytes."""


def decode(raw: bytes) -> Any:
    """The value of exactly one MessagePack value; how deep it is and what its numbers are is not checked here.

    Raises `invalid_data` for a key that is not a string, a string that is not UTF-8, an extension or timestamp, or bytes that
    are not exactly one value.
    """
    try:
        _SHAPE.decode(raw)
        return ormsgpack.unpackb(raw)
    except (msgspec.DecodeError, RecursionError, ormsgpack.MsgpackDecodeError) as error:
        complaint = str(error)
    raise _invalid(next((said for word, said in _REASONS.items() if word in complaint), complaint))


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
    """The most containers open at once, as far as the bytes can be read and at most 4,096 items; a scalar alone has 0."""
    deepest, at, left = 0, 0, 1
    outer: list[int] = []
    items = 0
    try:
        while (left or outer) and items < _LOOKED_AT:
            if not left:
                left = outer.pop()
                continue
            what, size, at = _head(raw, at)
            items += 1
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


def _invalid(reason: str) -> OpenlineError:
    return OpenlineError(Code.INVALID_DATA, f"data: {reason}")
