"""From the bytes that a connection received to what they hold. The same bytes are taken apart once, not per connection."""

from __future__ import annotations

from typing import NamedTuple

from loadtest.bench import frames
from loadtest.bench.payload import MARK

_KEPT = 4096
"""Chunks remembered; a fan-out sends each to a thousand connections within milliseconds."""


class Chunk(NamedTuple):
    """`seqs` and `stamps` of the published messages; `first` to `after - 1` when `contiguous`. `others` are all other
    frames, `rest` the bytes of a frame that is not whole.
    """

    seqs: tuple[int, ...]
    stamps: tuple[int, ...]
    total: int
    first: int
    after: int
    contiguous: bool
    others: tuple[tuple[int, bytes], ...]
    rest: bytes


class Reader:
    """Takes chunks apart and remembers the last ones."""

    def __init__(self) -> None:
        self._known: dict[bytes, Chunk] = {}

    def read(self, data: bytes) -> Chunk:
        """What `data` holds. Raises FrameError."""
        chunk = self._known.get(data)
        if chunk is None:
            chunk = parse(data)
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[data] = chunk
        return chunk


def parse(data: bytes) -> Chunk:
    """Take a chunk apart. Raises FrameError."""
    found, rest = frames.split(data)
    seqs, stamps, others = [], [], []
    for opcode, content in found:
        # Several in one frame: Centrifugo joins what waits.
        marks = MARK.findall(content) if opcode in (frames.TEXT, frames.BINARY) else ()
        if not marks:
            others.append((opcode, content))
        seqs += [int(seq) for seq, _ in marks]
        stamps += [int(sent) for _, sent in marks]
    first = seqs[0] if seqs else 0
    return Chunk(
        seqs=tuple(seqs),
        stamps=tuple(stamps),
        total=len(seqs),
        first=first,
        after=first + len(seqs),
        contiguous=seqs == list(range(first, first + len(seqs))),
        others=tuple(others),
        rest=rest,
    )


def answer(opcode: int, content: bytes) -> bytes | None:
    """The frame that a server's frame asks for: heartbeats of the WebSocket itself, of Openline and of Socket.IO."""
    if opcode == frames.PING:
        return frames.client(frames.PONG, content)
    if content.startswith(b'{"type":"ping"'):
        return frames.client(frames.TEXT, b'{"type":"pong"}')
    if opcode == frames.TEXT and content == b"2":
        return frames.client(frames.TEXT, b"3")
    return None
