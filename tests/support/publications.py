"""Publications to encode: one of each kind."""

from __future__ import annotations

from typing import Any

import msgspec

from services.kernel.domain.publications import Kind, Publication


def publication(data: object, **changes: Any) -> Publication:
    """The fifth of epoch `e`, by bob at 17 ms; bytes make it BINARY, bytes inside MSGPACK."""
    if isinstance(data, bytes):
        kind, raw = Kind.BINARY, data
    else:
        packed = msgspec.msgpack.encode(data)
        text = msgspec.json.encode(data)
        kind, raw = (
            (Kind.JSON, text) if msgspec.json.decode(text) == data else (Kind.MSGPACK, packed)
        )
    fields = {"epoch": "e", "offset": 5, "meta": b'"from":"bob","ts":17', "kind": kind}
    return Publication(data=raw, **{**fields, **changes})
