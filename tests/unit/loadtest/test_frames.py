"""WebSocket frames of the load client."""

from __future__ import annotations

import pytest

from loadtest.bench import frames


def server(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, size])
    elif size < 65_536:
        head = bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 127]) + size.to_bytes(8, "big")
    return head + payload


def unmask(frame: bytes) -> tuple[int, bytes]:
    size, start = frame[1] & 0x7F, 2
    assert frame[1] & 0x80
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(frame[2:start], "big")
    key, masked = frame[start : start + 4], frame[start + 4 :]
    assert len(masked) == size
    return frame[0], bytes(byte ^ key[n % 4] for n, byte in enumerate(masked))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length(size):
    payload = bytes(n % 251 for n in range(size))
    assert unmask(frames.client(frames.BINARY, payload)) == (0x82, payload)
    assert frames.split(server(frames.BINARY, payload)) == ([(frames.BINARY, payload)], b"")


def test_a_frame_that_is_not_whole_is_left():
    whole = server(frames.TEXT, b"one") + server(frames.PING, b"")
    part = server(frames.TEXT, b"x" * 200)
    for cut in range(len(part)):
        found = frames.split(whole + part[:cut])
        assert found == ([(frames.TEXT, b"one"), (frames.PING, b"")], part[:cut])


@pytest.mark.parametrize("data", [b"\x01\x01a", b"\xc1\x01a", b"\x81\x81keyxa"])
def test_fragments_compressed_and_masked_frames_are_refused(data):
    with pytest.raises(frames.FrameError):
        frames.split(data)
