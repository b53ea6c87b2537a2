"""Which encoding a connection speaks, by the WebSocket subprotocols its client offers (RFC 6455 section 1.9)."""

from __future__ import annotations

from collections.abc import Iterable

from services.kernel.protocol import json_codec, msgpack_codec
from services.kernel.protocol.codec import Codec

SUBPROTOCOLS: dict[str, Codec] = {
    "openline.json.v1": json_codec.CODEC,
    "openline.msgpack.v1": msgpack_codec.CODEC,
}


def choose(offered: Iterable[str]) -> tuple[str | None, Codec]:
    """The first subprotocol offered that is known here, and its codec; none and JSON when there is none."""
    for name in offered:
        if name in SUBPROTOCOLS:
            return name, SUBPROTOCOLS[name]
    return None, json_codec.CODEC
