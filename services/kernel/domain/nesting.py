"""How deep JSON text is nested, told from its bytes: an interpreter's own limit differs from version to version."""

from __future__ import annotations

import re
from itertools import accumulate

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS = bytes(byte for byte in range(256) if byte not in _STEPS)


_LOOKED_AT = 65_536


def depth(text: bytes) -> int:
    """The most containers open at once, whether the text is complete and valid or not; a scalar alone has 0.

    The first 64 KiB are looked at: it takes some milliseconds, and a frame may have a million bytes.
    """
    brackets = _STRING.sub(b"", text[:_LOOKED_AT]).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets), initial=0))
