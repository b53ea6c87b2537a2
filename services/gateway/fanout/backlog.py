"""What a connection is sent in pieces as its socket drains: publications that it missed, and whatever comes behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from services.gateway.fanout.wire_format import WireFormat
from services.kernel.domain.publications import Publication

PIECE = 64 * 1024
"""Bytes that are written at once: as much as a connection buffers before it is stalled."""


class Backlog:
    """Frames and publications in their order. Publications become frames when it is their turn, and are let go then.

    `size`: bytes that wait; of publications their data.
    """

    __slots__ = ("_parts", "size")

    def __init__(self) -> None:
        self._parts: deque[bytes | tuple[str, deque[Publication]]] = deque()
        self.size = 0

    def add(self, frame: bytes) -> None:
        """Write a frame behind all that waits."""
        self._parts.append(frame)
        self.size += len(frame)

    def replay(self, channel: str, publications: Sequence[Publication]) -> None:
        """Write a channel's publications behind all that waits."""
        self._parts.append((channel, deque(publications)))
        self.size += sum(len(publication.data) for publication in publications)

    def take(self, wire_format: WireFormat) -> bytes:
        """The next frames, joined: at least PIECE bytes where there is as much; nothing at the end."""
        frames: list[bytes] = []
        size = 0
        while self._parts and size < PIECE:
            frame = self._next(self._parts[0], wire_format)
            frames.append(frame)
            size += len(frame)
        return b"".join(frames)

    def _next(self, part: bytes | tuple[str, deque[Publication]], wire_format: WireFormat) -> bytes:
        if isinstance(part, bytes):
            self._parts.popleft()
            self.size -= len(part)
            return part
        channel, publications = part
        publication = publications.popleft()
        if not publications:
            self._parts.popleft()
        self.size -= len(publication.data)
        return wire_format.replayed(channel, publication)
