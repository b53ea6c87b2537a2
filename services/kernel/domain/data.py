"""What a publication's data may be, checked once when it is published, so that every reader of it can rely on it."""

from __future__ import annotations

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
_MSGPACK = msgspec.msgpack.Decoder()
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
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH or _MANY_DIGITS in raw.translate(_DIGITS):
        check_value(value)
    if b"\n" in raw or b"\r" in raw:
        return msgspec.json.format(raw, indent=-1)
    return raw.strip(b" \t")


def check_msgpack(raw: bytes) -> tuple[Kind, bytes]:
    """One MessagePack value as it is stored. Raises `invalid_data` with the reason.

    Bytes alone become BINARY, bytes somewhere inside MSGPACK, anything else JSON text, which every reader can take.
    """
    has_bytes = packed.scan(raw)
    try:
        value = _MSGPACK.decode(raw)
    except UnicodeDecodeError as error:
        raise _invalid(unreadable.reason(raw, error)) from None
    if isinstance(value, bytes):
        return Kind.BINARY, value
    if has_bytes:
        return Kind.MSGPACK, msgspec.msgpack.encode(value)
    return Kind.JSON, msgspec.json.encode(value)


def check_value(value: Any) -> None:
    """Raises `invalid_data` when a decoded value is nested too deep or holds an integer beyond 64 bits."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = _inside(level)
        if not level:
            return
    if any(isinstance(item, dict | list) for item in level):
        raise _invalid(f"nested more than {MAX_DEPTH} deep")
    _inside(level)


def _inside(level: list[Any]) -> list[Any]:
    """Everything one level further in; the integers of this level are checked on the way."""
    inner: list[Any] = []
    for item in level:
        kind = type(item)
        if kind is dict:
            inner.extend(item.values())
        elif kind is list:
            inner.extend(item)
        elif kind is int and not MIN_INTEGER <= item <= MAX_INTEGER:
            raise _invalid("integers must be within 64 bits")
    return inner


def check_key(key: object) -> str:
    """An idempotency key from outside. Raises `bad_request` unless it is 1-128 printable characters."""
    if isinstance(key, str) and 1 <= len(key) <= MAX_KEY and key.isprintable():
        return key
    raise OpenlineError(Code.BAD_REQUEST, f"key must be 1-{MAX_KEY} printable characters")


def _unreadable(raw: bytes, error: Exception) -> str:
    if nesting.depth(raw) > MAX_DEPTH:
        return f"nested more than {MAX_DEPTH} deep"
    if isinstance(error, msgspec.ValidationError):
        return "numbers must be finite and integers within 64 bits"
    return unreadable.reason(raw, error)


def _invalid(reason: str) -> OpenlineError:
    return OpenlineError(Code.INVALID_DATA, f"data: {reason}")
