"""RFC 6455 from the outside, in the groups of the Autobahn suite, with wsproto as the other side."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from wsproto.events import CloseConnection, Pong

from services.gateway.node.quota import Quota
from services.gateway.transports.echo import echo_route
from services.gateway.websocket import WebSocketProtocol, connection
from services.kernel.domain.limits import Limits
from tests.support.uvicorn_server import serving
from tests.support.websocket_peer import Peer, frame

pytestmark = pytest.mark.server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_BYTES = 1 << 20


@pytest.fixture(scope="module")
def port():
    # A violation is followed by a second in which the peer has to be silent; sixty tests would wait for it.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connection, "QUIET", 0.1)
        yield from serve_echo()


def serve_echo():
    application = Starlette(routes=[echo_route(MAX_BYTES, quota=Quota(Limits()))])
    with serving(application, ws=WebSocketProtocol) as server:
        yield server.port


@pytest.fixture
def peer(port):
    with Peer(port) as peer:
        assert peer.accepted
        yield peer


def each_byte(data):
    return [data[i : i + 1] for i in range(len(data))]


# 1: framing


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_1_messages_of_every_length_form_come_back(peer, opcode, size):
    peer.raw(frame(opcode, b"*" * size))
    expected = b"*" * size
    assert peer.message() == (expected.decode() if opcode == TEXT else expected)


def test_1_a_message_that_arrives_byte_by_byte(peer):
    peer.raw(*each_byte(frame(TEXT, "Hello-µ@ß".encode())))
    assert peer.message() == "Hello-µ@ß"


# 2: pings and pongs


@pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff\xfe", b"\xfe" * 125])
def test_2_a_ping_is_answered_with_its_payload(peer, payload):
    peer.raw(frame(PING, payload))
    assert bytes(peer.event(Pong).payload) == payload


def test_2_a_ping_with_126_bytes_is_a_violation(peer):
    peer.raw(frame(PING, b"\xfe" * 126))
    assert peer.closing()[0] == 1002


def test_2_a_ping_that_arrives_byte_by_byte(peer):
    peer.raw(*each_byte(frame(PING, b"\xfe" * 125)))
    assert bytes(peer.event(Pong).payload) == b"\xfe" * 125


def test_2_pongs_nobody_asked_for_change_nothing(peer):
    peer.raw(frame(PONG, b"unsolicited"), frame(PING, b"asked"))
    assert bytes(peer.event(Pong).payload) == b"asked"


def test_2_ten_pings_have_ten_answers_in_order(peer):
    peer.raw(b"".join(frame(PING, b"%d" % i) for i in range(10)))
    assert [bytes(peer.event(Pong).payload) for _ in range(10)] == [b"%d" % i for i in range(10)]


# 3 and 4: reserved bits and opcodes


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_3_reserved_bits_fail_the_connection(peer, opcode, rsv):
    peer.raw(frame(TEXT, b"before"))
    assert peer.message() == "before"
    peer.raw(frame(opcode, b"", rsv=rsv))
    assert peer.closing()[0] == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_4_reserved_opcodes_fail_the_connection(peer, opcode):
    peer.raw(frame(TEXT, b"before"))
    assert peer.message() == "before"
    peer.raw(frame(opcode, b"x"))
    assert peer.closing()[0] == 1002


# 5: fragmentation


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_5_a_control_frame_must_not_be_fragmented(peer, opcode):
    peer.raw(frame(opcode, b"a", fin=False), frame(CONTINUATION, b"b"))
    assert peer.closing()[0] == 1002


@pytest.mark.parametrize("chop", [False, True])
def test_5_fragments_with_a_ping_between_them(peer, chop):
    data = frame(TEXT, b"one", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"two")
    peer.raw(*(each_byte(data) if chop else [data]))
    assert bytes(peer.event(Pong).payload) == b"p"
    assert peer.message() == "onetwo"


@pytest.mark.parametrize("fin", [False, True])
def test_5_a_continuation_of_nothing(peer, fin):
    peer.raw(frame(CONTINUATION, b"x", fin=fin), frame(TEXT, b"late"))
    assert peer.closing()[0] == 1002


def test_5_a_second_message_inside_a_fragmented_one(peer):
    peer.raw(frame(TEXT, b"a", fin=False), frame(TEXT, b"b"))
    assert peer.closing()[0] == 1002


def test_5_many_fragments_many_of_them_empty(peer):
    peer.raw(
        frame(BINARY, b"", fin=False),
        *(frame(CONTINUATION, b"%d" % (i % 10) if i % 2 else b"", fin=False) for i in range(50)),
        frame(CONTINUATION, b""),
    )
    assert peer.message() == b"".join(b"%d" % (i % 10) for i in range(50) if i % 2)


# 6: UTF-8

VALID = ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\uffff", "\U0010ffff", "퟿", "\ufffe"]
INVALID = [
    b"\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf8\x88\x80\x80\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"cut\xf0\x9f\x98",
]


@pytest.mark.parametrize("text", VALID)
def test_6_valid_text_comes_back_however_it_is_cut(peer, text):
    data = text.encode()
    peer.raw(frame(TEXT, data))
    fragments = [frame(TEXT, b"", fin=False)]
    fragments += [frame(CONTINUATION, byte, fin=False) for byte in each_byte(data)]
    peer.raw(*fragments, frame(CONTINUATION, b""))
    assert [peer.message(), peer.message()] == [text, text]


@pytest.mark.parametrize("data", INVALID)
def test_6_invalid_text_fails_with_1007(peer, data):
    peer.raw(frame(TEXT, data))
    assert peer.closing()[0] == 1007


@pytest.mark.parametrize("data", INVALID)
def test_6_invalid_text_in_fragments_fails_with_1007(peer, data):
    half = len(data) // 2
    peer.raw(frame(TEXT, data[:half], fin=False), frame(CONTINUATION, data[half:]))
    assert peer.closing()[0] == 1007


def test_6_invalid_text_fails_before_its_frame_is_whole(peer):
    peer.raw(frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80" + b"x" * 50)[:18])
    assert peer.closing()[0] == 1007


# 7: close


def test_7_a_close_is_answered_and_ends_the_stream(peer):
    peer.close(1000, "bye")
    assert peer.closing()[0] == 1000


def test_7_an_empty_close_is_answered_with_an_empty_one(peer):
    peer.raw(frame(CLOSE))
    assert peer.event(CloseConnection).code in (1000, 1005)
    peer.ended()


def test_7_what_follows_a_close_is_ignored(peer):
    peer.raw(frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"late") + frame(PING, b"late"))
    assert peer.event(CloseConnection, Pong).code == 1000
    peer.ended()


def test_7_a_close_inside_a_fragmented_message(peer):
    peer.raw(frame(TEXT, b"half", fin=False) + frame(CLOSE, b"\x03\xe8"))
    assert peer.closing()[0] == 1000


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
)
def test_7_valid_codes_are_returned(peer, code):
    peer.raw(frame(CLOSE, code.to_bytes(2, "big") + b"x" * 123))
    assert peer.closing()[0] == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000])
def test_7_codes_that_are_not_for_the_wire_are_violations(peer, code):
    peer.raw(frame(CLOSE, code.to_bytes(2, "big")))
    assert peer.closing()[0] == 1002


def test_7_a_close_with_half_a_code(peer):
    peer.raw(frame(CLOSE, b"\x03"))
    assert peer.closing()[0] == 1002


def test_7_a_close_with_an_invalid_reason(peer):
    peer.raw(frame(CLOSE, b"\x03\xe8\xce\xba\xed\xa0\x80"))
    assert peer.closing()[0] in (1002, 1007)


# 9 and 10: size


@pytest.mark.parametrize("size", [65_537, 262_144, MAX_BYTES])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_9_large_messages_whole_and_in_pieces(peer, opcode, size):
    data = b"0123456789abcdef" * (size // 16) + b"x" * (size % 16)
    wire = frame(opcode, data)
    peer.raw(*(wire[i : i + 10_007] for i in range(0, len(wire), 10_007)))
    assert peer.message() == (data.decode() if opcode == TEXT else data)


@pytest.mark.parametrize("piece", [64, 1024, 65_536])
def test_9_large_messages_in_fragments(peer, piece):
    data = b"0123456789abcdef" * 16_384
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    peer.raw(frame(TEXT, pieces[0], fin=False))
    peer.raw(b"".join(frame(CONTINUATION, part, fin=False) for part in pieces[1:]))
    peer.raw(frame(CONTINUATION))
    assert peer.message() == data.decode()


def test_10_a_message_over_the_limit_fails_with_1009(peer):
    wire = frame(BINARY, b"x" * (MAX_BYTES + 1))
    peer.raw(wire)
    assert peer.closing()[0] == 1009


def test_10_many_messages_in_one_go_come_back_in_order(peer):
    peer.raw(b"".join(frame(TEXT, b"%d" % i) for i in range(1000)))
    assert [peer.message() for _ in range(1000)] == [str(i) for i in range(1000)]
