"""What a publication's data may be, checked once when it is published, so that every reader of it can rely on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgspec

from services.kernel.domain import nesting, packed, unreadable
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.packed import MAX_DEPTH
from services.kernel.domain.publications import Kind

MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**64 - 1
MAX_KEY = 128

_JSON = msgspec.json.Decoder()
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS = b"0" * 19


def check_json(raw: bytes) -> bytes:
    """The same JSON text without line breaks and outer blanks. Raises `invalid_data` with the reason.

    The whole text is parsed, so it can be spliced into an envelope as it stands.
    """
    try:
        value = _JSON.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(_unreadable(raw, error)) from None
    # Only a text with more than 64 brackets can be too deep, and only 19 digits in a row can be too large.
    has_long = _MANY_DIGITS in raw.translate(_DIGITS)
    if has_long or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        for level, kinds in _levels(value):
            if has_long and int in kinds:
                _check_integers(_of(int, level, kinds))
    if b"\n" in raw or b"\r" in raw:
        return msgspec.json.format(raw, indent=-1)
    return raw.strip(b" \t")


def check_msgpack(raw: bytes) -> tuple[Kind, bytes]:
    """One MessagePack value as it is stored. Raises `invalid_data` with the reason.

    Bytes alone become BINARY, bytes somewhere inside MSGPACK, anything else JSON text, which every reader can take.
    """
    value = packed.decode(raw)
    if isinstance(value, bytes):
        return Kind.BINARY, value
    has_bytes = False
    for level, kinds in _levels(value):
        has_bytes |= bytes in kinds
        if float in kinds and not all(map(math.isfinite, _of(float, level, kinds))):
            raise _invalid("numbers must be finite")
    if has_bytes:
        return Kind.MSGPACK, msgspec.msgpack.encode(value)
    return Kind.JSON, msgspec.json.encode(value)


def _levels(value: Any) -> Iterator[tuple[list[Any], set[type]]]:
    """Everything in a decoded value, one level after the other, with the types that are in it.

    Raises `invalid_data` when it is nested too deep. What is done with each item is done in C: a message may have 64,000.
    """
    level = [value]
    for depth in range(MAX_DEPTH + 1):
        kinds = set(map(type, level))
        yield level, kinds
        if not kinds & {dict, list}:
            return
        if depth < MAX_DEPTH:
            objects = map(dict.values, _of(dict, level, kinds))
            level = list(chain.from_iterable(chain(objects, _of(list, level, kinds))))
    raise _invalid(f"nested more than {MAX_DEPTH} deep")


def _of(kind: type, level: list[Any], kinds: set[type]) -> list[Any]:
    if kind not in kinds:
        return []
    return level if len(kinds) == 1 else [item for item in level if type(item) is kind]


def _check_integers(integers: list[int]) -> None:
    if min(integers) < MIN_INTEGER or max(integers) > MAX_INTEGER:
        raise _invalid("integers must be within 64 bits")


def check_key(key: object, name: str = "key") -> str:
    """A key from outside, called `name` there. Raises `bad_request` unless it is 1-128 printable characters."""
    if isinstance(key, str) and 1 <= len(key) <= MAX_KEY and key.isprintable():
        return key
    raise OpenlineError(Code.BAD_REQUEST, f"{name} must be 1-{MAX_KEY} printable characters")


def _unreadable(raw: bytes, error: Exception) -> str:
    # No decoder goes down a thousand levels.
    if isinstance(error, RecursionError) or nesting.depth(raw) > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} deep"
    if isinstance(error, msgspec.ValidationError):
        return "numbers must be finite and integers within 64 bits"
    return unreadable.reason(raw, error)


def _invalid(reason: str) -> OpenlineError:
    return OpenlineError(Code.INVALID_DATA, f"data: {reason}")
