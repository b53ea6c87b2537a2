"""The framing rules of RFC 6455 section 5, byte by byte."""

from __future__ import annotations

import runpy
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import apply_mask

from services.gateway.websocket import frames as framing
from services.gateway.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Parser,
    Violation,
)

MASK = b"\x37\xfa\x21\x3d"
LIMIT = 1 << 20


def client(opcode, payload=b"", *, fin=True, rsv=0, mask=MASK, size=None, form=None):
    """A client's frame; `size` and `form` (bytes of the length field) can be made wrong."""
    size = len(payload) if size is None else size
    form = form or (0 if size < 126 else 2 if size < 65536 else 8)
    short = {0: size, 2: 126, 8: 127}[form]
    length = bytes([0x80 | short]) + (size.to_bytes(form, "big") if form else b"")
    return bytes([fin << 7 | rsv << 4 | opcode]) + length + mask + apply_mask(payload, mask)


def received(parser, chunk):
    """The events of a chunk, as a connection asks for them."""
    data, position, events = parser.joined(chunk), 0, []
    while position < len(data) and not parser.finished:
        event, position = parser.parse(data, position)
        events += [event] if event is not None else []
    return events


def parse(*chunks, limit=LIMIT):
    parser = Parser(limit)
    events = [event for chunk in chunks for event in received(parser, chunk)]
    return events, parser.violation.code if parser.violation else None


def each_byte(data):
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_whole_message_of_any_length_form(opcode, size):
    assert parse(client(opcode, b"x" * size)) == ([(opcode, b"x" * size)], None)


def test_several_frames_in_one_read_come_in_order():
    data = client(TEXT, b"a") + client(PING, b"p") + client(BINARY, b"b") + client(PONG)
    assert parse(data) == ([(TEXT, b"a"), (PING, b"p"), (BINARY, b"b"), (PONG, b"")], None)


def test_fragments_with_control_frames_between_them():
    data = (
        client(TEXT, "κό".encode()[:3], fin=False)
        + client(PING, b"1")
        + client(CONTINUATION, "κό".encode()[3:], fin=False)
        + client(CONTINUATION, b"")
    )
    expected = [(PING, b"1"), (TEXT, "κό".encode())], None
    assert parse(data) == expected
    assert parse(*each_byte(data)) == expected


def test_a_fragmented_binary_message_need_not_be_utf8():
    data = client(BINARY, b"\xff", fin=False) + client(CONTINUATION, b"\xfe")
    assert parse(data) == ([(BINARY, b"\xff\xfe")], None)


def test_payload_that_arrives_in_pieces_is_unmasked_at_the_right_byte():
    payload = bytes(range(256)) * 3
    data = client(BINARY, payload)
    for cut in (9, 10, 11, 13, 400):
        assert parse(data[:cut], data[cut:]) == ([(BINARY, payload)], None)


def test_text_outside_ascii_is_delivered_as_it_came():
    assert parse(client(TEXT, "¡😀!".encode())) == ([(TEXT, "¡😀!".encode())], None)


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98"]
)
def test_invalid_utf8_is_1007(bad):
    assert parse(client(TEXT, b"ok" + bad)) == ([], 1007)
    assert parse(client(TEXT, b"ok", fin=False), client(CONTINUATION, bad)) == ([], 1007)


def test_invalid_utf8_is_noticed_before_the_frame_is_whole():
    frame = client(TEXT, b"\xf4\x90" + b"x" * 100)
    assert parse(frame[:8]) == ([], 1007)


@pytest.mark.parametrize(
    "frame",
    [
        client(TEXT, b"x", rsv=1),
        client(TEXT, b"x", rsv=4),
        *(client(opcode, b"") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        client(PING, b"x", fin=False),
        client(PING, b"x" * 126),
        client(CONTINUATION, b"x"),
        client(TEXT, b"a", fin=False) + client(TEXT, b"b"),
        client(TEXT, b"a", fin=False) + client(BINARY, b"b", fin=False),
        b"\x81\x01x",  # not masked
        client(TEXT, b"x", form=2),
        client(BINARY, b"x" * 65535, form=8),
        client(BINARY, b"", size=1 << 63, form=8),
    ],
)
def test_broken_framing_is_1002(frame):
    assert parse(frame) == ([], 1002)
    assert parse(*each_byte(frame)) == ([], 1002)


def test_what_came_before_a_violation_still_counts_and_nothing_after_it():
    data = client(TEXT, b"good") + client(3) + client(TEXT, b"late")
    assert parse(data, client(TEXT, b"later")) == ([(TEXT, b"good")], 1002)


def test_a_message_over_the_limit_is_refused_by_its_header():
    assert parse(client(BINARY, b"", size=11), limit=10) == ([], 1009)
    assert parse(client(BINARY, b"x" * 10), limit=10) == ([(BINARY, b"x" * 10)], None)


def test_the_limit_counts_all_fragments_of_a_message_but_no_control_frames():
    head = client(TEXT, b"x" * 6, fin=False) + client(PING, b"p" * 50)
    assert parse(head + client(CONTINUATION, b"x" * 4), limit=10)[1] is None
    assert parse(head + client(CONTINUATION, b"x" * 5), limit=10) == ([(PING, b"p" * 50)], 1009)


def test_a_control_frame_in_two_reads_is_one_event():
    data = client(PING, b"x" * 100)
    assert parse(data[:50], data[50:]) == ([(PING, b"x" * 100)], None)


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_a_valid_close_is_delivered_and_ends_the_input(code):
    payload = code.to_bytes(2, "big") + "bye ü".encode()
    events, violation = parse(client(CLOSE, payload) + client(TEXT, b"late"))
    assert (events, violation) == ([(CLOSE, payload)], None)
    assert framing.close_reason(payload) == (code, "bye ü")


def test_an_empty_close_reads_as_1005():
    assert parse(client(CLOSE)) == ([(CLOSE, b"")], None)
    assert framing.close_reason(b"") == (1005, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535])
def test_a_close_code_that_is_not_for_the_wire_is_1002(code):
    assert parse(client(CLOSE, code.to_bytes(2, "big"))) == ([], 1002)


def test_a_close_with_half_a_code_or_a_bad_reason():
    assert parse(client(CLOSE, b"\x03")) == ([], 1002)
    assert parse(client(CLOSE, b"\x03\xe8\xff")) == ([], 1007)


def test_a_quiet_parser_holds_nothing():
    parser = Parser(LIMIT)
    for chunk in each_byte(client(TEXT, b"x", fin=False) + client(CONTINUATION, b"y")):
        received(parser, chunk)
    assert (parser._held, parser._message) == (b"", None)


def test_it_tells_whether_the_next_bytes_go_on_with_a_frame():
    parser = Parser(LIMIT)
    fragment, rest = client(BINARY, b"x" * 10, fin=False), client(CONTINUATION, b"y")
    told = []
    for chunk in (fragment[:8], fragment[8:], rest[:3], rest[3:]):
        received(parser, chunk)
        told.append(parser.is_inside)
    assert told == [True, False, False, False]


def test_a_violation_drops_the_message_that_was_arriving():
    parser = Parser(LIMIT)
    received(parser, client(BINARY, b"x" * 1000, fin=False) + client(3))
    assert parser._message is None


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_split_of_any_bytes_gives_the_same_events(data, cuts):
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in pairwise(bounds)]
    assert parse(*chunks, limit=200) == parse(data, limit=200)


messages = st.lists(
    st.one_of(
        st.tuples(st.just(TEXT), st.text(max_size=100).map(str.encode)),
        st.tuples(st.sampled_from([BINARY]), st.binary(max_size=300)),
        st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
    ),
    max_size=6,
)


@given(messages, st.binary(min_size=4, max_size=4), st.randoms(use_true_random=False))
def test_messages_survive_any_fragmentation_and_split(sent, mask, random):
    wire = b""
    for opcode, payload in sent:
        cut = random.randint(0, len(payload))
        if opcode in (TEXT, BINARY) and random.random() < 0.7:
            wire += client(opcode, payload[:cut], fin=False, mask=mask)
            wire += client(CONTINUATION, payload[cut:], mask=mask)
        else:
            wire += client(opcode, payload, mask=mask)
    at = random.randint(0, len(wire))
    assert parse(wire[:at], wire[at:]) == (sent, None)
    assert parse(*each_byte(wire)) == (sent, None)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_own_frames_use_the_shortest_length(size):
    frame = framing.binary_frame(b"x" * size)
    assert len(frame) - size == (2 if size < 126 else 4 if size < 65536 else 10)
    assert list(framing.split_frames(frame * 2)) == [(BINARY, b"x" * size)] * 2


@given(st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=500)), max_size=4))
def test_own_frames_can_be_joined_and_split_again(sent):
    build = {TEXT: framing.text_frame, BINARY: framing.binary_frame}
    frames = b"".join(build[opcode](payload) for opcode, payload in sent)
    assert list(framing.split_frames(frames)) == sent


def test_control_frames_are_built_whole():
    assert framing.ping_frame() == b"\x89\x00"
    assert framing.pong_frame(b"x") == b"\x8a\x01x"
    assert framing.close_frame(1005) == b"\x88\x00"
    assert framing.close_frame(4100, "10") == b"\x88\x04\x10\x0410"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("ü" * 100, "ü" * 60 + "…"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 120 + "…"),
        ("twelve bytes " * 9 + "and then", "twelve bytes " * 8 + "twelve bytes…"),
        ("a, " * 50, "a, " * 39 + "a…"),
    ],
)
def test_a_long_close_reason_is_cut_between_words_or_characters(reason, told):
    frame = framing.close_frame(1000, reason)
    assert len(frame) <= 127
    assert frame[4:].decode() == told


def test_a_violation_explains_itself():
    violation = Violation(1002, "why")
    assert (violation.code, violation.reason) == (1002, "why")


def test_without_the_c_extension_python_unmasks(monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    slow = runpy.run_path(framing.__file__)
    assert slow["apply_mask"] is apply_mask
    assert received(slow["Parser"](10), client(TEXT, b"hi")) == [(TEXT, b"hi")]
