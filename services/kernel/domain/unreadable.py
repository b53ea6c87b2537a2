"""Why bytes are no JSON, in words: what a decoder says of them is often only where it stopped."""

from __future__ import annotations

import re

_BOMS = {
    b"\xef\xbb\xbf": "it begins with a byte order mark (EF BB BF); send UTF-8 without one",
    b"\xff\xfe": "it is UTF-16; send UTF-8",
    b"\xfe\xff": "it is UTF-16; send UTF-8",
}
_NOT_FINITE = (b"NaN", b"Infinity", b"-Infinity")
_HALF = "half of a surrogate pair, as in text that was cut inside an emoji; cut between whole characters"
_FIRST_BYTE_OF_HALF = 0xED
_STOPPED = re.compile(r"\(byte (\d+)\)\Z")
_HALF_AT_END = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}[^\\]{0,6}\Z")
"""The decoder wants six bytes after the first half, and calls the input truncated where there are fewer."""


def reason(raw: bytes, error: Exception) -> str:
    """What is wrong with bytes that msgspec refused with `error`, and what would be right."""
    if isinstance(error, UnicodeDecodeError):
        return _not_utf8(error)
    said = str(error)
    for mark, meaning in _BOMS.items():
        if raw.startswith(mark):
            return meaning
    if "surrogate" in said or _HALF_AT_END.search(raw[-18:]):
        return f"{_HALF} ({said})"
    if (stopped := _STOPPED.search(said)) and raw.startswith(_NOT_FINITE, int(stopped[1])):
        return f"NaN and Infinity are no JSON; send null or a string ({said})"
    return said


def _not_utf8(error: UnicodeDecodeError) -> str:
    if error.object[error.start] == _FIRST_BYTE_OF_HALF:
        return _HALF
    return f"a string is not UTF-8 (byte {error.object[error.start]:#04x}: {error.reason})"
