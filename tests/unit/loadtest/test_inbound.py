"""From bytes to messages."""

from __future__ import annotations

from loadtest.bench import frames, inbound
from loadtest.bench.payload import SIZE, body


def frame(content: bytes, opcode: int = frames.TEXT) -> bytes:
    return bytes([0x80 | opcode, 126]) + len(content).to_bytes(2, "big") + content


def test_messages_are_found_in_any_envelope():
    plain, wrapped = body(7), b'{"type":"message","ts":5,"data":' + body(8) + b"}"
    chunk = inbound.parse(frame(plain) + frame(wrapped) + frame(b'42["message",' + body(9) + b"]"))
    assert (chunk.seqs, chunk.first, chunk.after, chunk.contiguous) == ((7, 8, 9), 7, 10, True)
    assert chunk.others == ()


def test_several_messages_in_one_frame_are_all_found():
    chunk = inbound.parse(frame(b'{"push":' + body(7) + b'}\n{"push":' + body(8) + b"}"))
    assert (chunk.seqs, chunk.total, chunk.contiguous, chunk.others) == ((7, 8), 2, True, ())


def test_other_frames_and_the_rest_are_kept():
    chunk = inbound.parse(frame(b"hello") + frame(b"", frames.PING) + frame(body(1)) + b"\x81")
    assert chunk.others == ((frames.TEXT, b"hello"), (frames.PING, b""))
    assert (chunk.total, chunk.rest) == (1, b"\x81")


def test_numbers_that_do_not_follow_each_other_are_seen():
    assert not inbound.parse(frame(body(1)) + frame(body(3))).contiguous
    assert not inbound.parse(frame(body(2)) + frame(body(1))).contiguous


def test_the_same_bytes_are_taken_apart_once():
    reader, data = inbound.Reader(), frame(body(1))
    assert reader.read(data) is reader.read(bytes(data))


def test_heartbeats_are_answered():
    assert inbound.answer(frames.PING, b"x")[0] == 0x80 | frames.PONG
    assert inbound.answer(frames.TEXT, b'{"type":"ping"}') is not None
    assert inbound.answer(frames.TEXT, b"2") is not None
    assert inbound.answer(frames.TEXT, b'{"type":"ack"}') is None


def test_a_message_has_the_size_that_was_asked_for():
    assert len(body(1)) == len(body(10**9)) == SIZE
    assert len(body(5, size=16_384)) == 16_384
