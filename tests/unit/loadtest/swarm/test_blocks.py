"""From a stream's bytes to runs of messages, and where to go on."""

from __future__ import annotations

from loadtest.bench.frames import TEXT
from loadtest.swarm.blocks import cursor, field, from_blocks
from loadtest.swarm.chunks import Chunk, Other, Run

ONE = b'{"type":"message","channel":"notify:a","offset":1,"data":{"sent":50}}'
TWO = ONE.replace(b'"offset":1', b'"offset":2')


def test_blocks_hold_messages_and_other_events() -> None:
    data = b"retry: 1000\n\n:\n\nevent: subscribed\ndata: {}\nid: c0\n\n"
    data += b"event: message\ndata: %b\nid: c1\n\nevent: message\ndata: %b\nid: c2\n\nevent: m" % (
        ONE,
        TWO,
    )
    others = (Other(TEXT, b"retry: 1000"), Other(TEXT, b":"), Other(TEXT, b"{}"))
    assert from_blocks(data) == Chunk((*others, Run("notify:a", 1, 2)), (50, 50), b"event: m")


def test_the_cursor_is_that_of_the_last_whole_block() -> None:
    assert cursor(b"data: 1\nid: a\n\ndata: 2\nid: b\n\ndata: 3\nid: c\n") == "b"
    assert cursor(b"data: 1\nid: a\n") == ""
    assert cursor(b":\n\n") == ""


def test_a_field_is_found_by_its_name() -> None:
    block = b"event: message\ndata:x: y\nid: 7"
    assert (field(block, b"data"), field(block, b"id"), field(block, b"i")) == (b"x: y", b"7", b"")
