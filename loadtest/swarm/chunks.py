"""From the bytes that a connection received to the messages in them. The same bytes are taken apart once a process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from loadtest.bench import frames
from loadtest.swarm.stamp import SENT

_HEAD = re.compile(rb'\{"type":"message","channel":"([^"]+)","offset":(\d+),')
_SKIPPED = re.compile(rb'"skipped":(\d+)\}$')
_KEPT = 4096
"""Chunks remembered; a fan-out sends each to a thousand connections within milliseconds."""


class Run(NamedTuple):
    """`length` messages of one channel with offsets from `first` on; `skipped` were left out before the first of them."""

    channel: str
    first: int
    length: int
    skipped: int = 0


class Message(NamedTuple):
    """One message; `sent` in microseconds of the wall clock, None when it is not one of ours."""

    channel: str
    offset: int
    skipped: int
    sent: int | None


class Other(NamedTuple):
    """An event that is no message with an offset, or a control frame."""

    opcode: int
    content: bytes


class Chunk(NamedTuple):
    """`items` in their order, `stamps` of all their messages, and `rest`, the bytes of what is not whole yet."""

    items: tuple[Run | Other, ...]
    stamps: tuple[int, ...]
    rest: bytes


class Reader:
    """Takes chunks apart by `parse` and remembers the last ones."""

    def __init__(self, parse: Callable[[bytes], Chunk]) -> None:
        self._parse = parse
        self._known: dict[bytes, Chunk] = {}

    def read(self, data: bytes) -> Chunk:
        """What `data` holds. Raises FrameError."""
        chunk = self._known.get(data)
        if chunk is None:
            chunk = self._parse(data)
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[data] = chunk
        return chunk


def from_frames(data: bytes) -> Chunk:
    """Take WebSocket bytes apart. Raises FrameError."""
    found, rest = frames.split(data)
    return gathered((message(opcode, content) for opcode, content in found), rest)


def message(opcode: int, content: bytes) -> Message | Other:
    """What a frame or a block holds."""
    head = _HEAD.match(content) if opcode == frames.TEXT else None
    if head is None:
        return Other(opcode, content)
    skipped = _SKIPPED.search(content)
    sent = SENT.search(content, head.end())
    return Message(
        channel=head[1].decode(),
        offset=int(head[2]),
        skipped=int(skipped[1]) if skipped else 0,
        sent=int(sent[1]) if sent else None,
    )


def gathered(found: Iterable[Message | Other], rest: bytes) -> Chunk:
    """A chunk whose runs are as long as they can be."""
    items: list[Run | Other] = []
    stamps: list[int] = []
    for one in found:
        if isinstance(one, Other):
            items.append(one)
            continue
        if one.sent is not None:
            stamps.append(one.sent)
        last = items[-1] if items else None
        if isinstance(last, Run) and _follows(last, one):
            items[-1] = last._replace(length=last.length + 1)
        else:
            items.append(Run(one.channel, one.offset, 1, one.skipped))
    return Chunk(tuple(items), tuple(stamps), rest)


def _follows(run: Run, one: Message) -> bool:
    ends = run.first + run.length
    return run.channel == one.channel and ends == one.offset and not one.skipped
