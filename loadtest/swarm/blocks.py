"""Server-Sent Events as a reader needs them (WHATWG HTML 9.2): blocks of lines, an empty line behind each."""

from __future__ import annotations

from loadtest.bench.frames import TEXT
from loadtest.swarm.chunks import Chunk, gathered, message


def from_blocks(data: bytes) -> Chunk:
    """Take a stream's bytes apart: the `data` of each event, or the whole block when it has none."""
    *found, rest = data.split(b"\n\n")
    return gathered((message(TEXT, field(block, b"data") or block) for block in found), rest)


def field(block: bytes, name: bytes) -> bytes:
    """The value of a line of a block, empty when there is no such line."""
    for line in block.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == name:
            return value.removeprefix(b" ")
    return b""


def cursor(data: bytes) -> str:
    """The last `id` of whole blocks: where a reader is that has had them; empty without any."""
    whole = data[: data.rfind(b"\n\n") + 1]
    at = whole.rfind(b"\nid: ")
    return "" if at < 0 else whole[at + 5 : whole.index(b"\n", at + 5)].decode()
