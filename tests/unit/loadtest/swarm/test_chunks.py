"""From a WebSocket's bytes to runs of messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.bench import frames
from loadtest.swarm.chunks import Chunk, Other, Reader, Run, from_frames


def frame(content: bytes, opcode: int = frames.TEXT) -> bytes:
    return bytes([0x80 | opcode, 126]) + len(content).to_bytes(2, "big") + content


def message(channel: str, offset: int, *, sent: int = 5, skipped: int = 0) -> bytes:
    tail = f',"skipped":{skipped}' if skipped else ""
    head = f'{{"type":"message","channel":"{channel}","offset":{offset},"ts":9,"from":"a"'
    return f'{head},"data":{{"sent":{sent},"pad":""}}{tail}}}'.encode()


def test_messages_that_follow_each_other_are_one_run() -> None:
    data = b"".join(frame(message("room:a", offset, sent=offset * 10)) for offset in (7, 8, 9))
    assert from_frames(data) == Chunk((Run("room:a", 7, 3),), (70, 80, 90), b"")


def test_another_channel_a_hole_or_a_skip_begins_a_run() -> None:
    sent = [message("a:x", 1), message("b:x", 2), message("b:x", 4), message("b:x", 7, skipped=2)]
    assert from_frames(b"".join(map(frame, sent))).items == (
        Run("a:x", 1, 1),
        Run("b:x", 2, 1),
        Run("b:x", 4, 1),
        Run("b:x", 7, 1, 2),
    )


def test_other_events_keep_their_place() -> None:
    reset = b'{"type":"reset","channel":"room:a","offset":4}'
    data = frame(message("room:a", 3)) + frame(reset) + frame(message("room:a", 5))
    data += frame(b"", frames.PING) + b"\x81"
    chunk = from_frames(data)
    assert chunk.items == (
        Run("room:a", 3, 1),
        Other(frames.TEXT, reset),
        Run("room:a", 5, 1),
        Other(frames.PING, b""),
    )
    assert chunk.rest == b"\x81"


def test_what_others_publish_counts_without_a_time() -> None:
    content = b'{"type":"message","channel":"room:a","offset":1,"data":{"text":"hi"}}'
    assert from_frames(frame(content)) == Chunk((Run("room:a", 1, 1),), (), b"")


def test_an_ephemeral_message_has_no_offset_to_count() -> None:
    content = b'{"type":"message","channel":"room:a","data":{"sent":5}}'
    assert from_frames(frame(content)).items == (Other(frames.TEXT, content),)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 99)), max_size=20),
    st.integers(1, 40),
)
def test_however_the_bytes_are_cut_the_messages_are_the_same(
    sent: list[tuple[str, int]], size: int
) -> None:
    data = b"".join(frame(message(f"room:{name}", offset)) for name, offset in sent)
    seen, rest = [], b""
    for at in range(0, len(data), size):
        chunk = from_frames(rest + data[at : at + size])
        rest = chunk.rest
        for run in chunk.items:
            assert isinstance(run, Run)
            seen += [(run.channel[-1], run.first + n) for n in range(run.length)]
    assert (seen, rest) == (sent, b"")


def test_the_same_bytes_are_taken_apart_once() -> None:
    asked = []

    def parse(data: bytes) -> Chunk:
        asked.append(data)
        return Chunk((), (), data)

    reader = Reader(parse)
    assert reader.read(b"a") is reader.read(b"a")
    assert reader.read(b"b").rest == b"b"
    assert asked == [b"a", b"b"]


def test_a_frame_that_no_client_takes_is_an_error() -> None:
    with pytest.raises(frames.FrameError):
        from_frames(b"\x01\x01a")
