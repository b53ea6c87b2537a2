"""Which encoding a connection speaks, by the WebSocket subprotocols its client offers (RFC 6455 section 1.9)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol import json_codec, msgpack_codec
from services.kernel.protocol.codec import Codec

JSON = "openline.json.v1"

SUBPROTOCOLS: dict[str, Codec] = {
    JSON: json_codec.CODEC,
    "openline.msgpack.v1": msgpack_codec.CODEC,
}

PLAIN: dict[str, Codec] = {JSON: json_codec.CODEC}
"""Those of the plain routes, where every message is JSON text."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,4096}")


def choose(
    offered: Sequence[str], known: Mapping[str, Codec] = SUBPROTOCOLS
) -> tuple[str | None, Codec]:
    """The first subprotocol offered that is known here, and its codec; none and JSON where nothing is offered.

    Raises `bad_request` where only others are offered.
    """
    for name in offered:
        if name in known:
            return name, known[name]
    if any(offered):
        raise OpenlineError(
            Code.BAD_REQUEST,
            f"none of the offered subprotocols is known here; offer {' or '.join(known)}, or none",
        )
    return None, json_codec.CODEC


def named(offered: Sequence[str]) -> str | None:
    """The one to name to a client that is let in to read why it is refused; None where nothing fit is offered.

    A browser that has offered some drops an answer that names none of them, and its page would read 1006.
    """
    for name in (*(name for name in offered if name in SUBPROTOCOLS), *offered):
        if _TOKEN.fullmatch(name):
            return name
    return None
