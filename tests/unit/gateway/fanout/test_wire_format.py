"""How connections speak: encoded once, framed as the transport wants it, silent where there is no word."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.fanout.wire_format import (
    JSON,
    MSGPACK,
    NOTIFY,
    ROOM,
    SSE,
    STREAMED,
    reset,
)
from services.gateway.websocket import frames as framing
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from tests.support.publications import publication

ERROR = OpenlineError(Code.FORBIDDEN, "no")
FRAMED = [JSON, MSGPACK, ROOM, NOTIFY]


def payload(frame):
    ((_, payload),) = framing.split_frames(frame)
    return payload


@pytest.mark.parametrize(
    "wire_format", [*FRAMED, SSE, STREAMED], ids=lambda wire_format: wire_format.name
)
def test_a_publication_is_encoded_once(wire_format):
    one = publication({"a": 1})
    first = wire_format.message("room:a", one)
    assert wire_format.message("room:a", one) is first
    assert one.frames[wire_format.name] is first


def test_no_two_wire_formats_share_a_name():
    assert len({wire_format.name for wire_format in [*FRAMED, SSE, STREAMED]}) == 6


def test_over_http_an_event_is_a_line_and_an_empty_one():
    assert STREAMED.event("ping", {}) == b'data: {"type":"ping"}\n\n'


@pytest.mark.parametrize("wire_format", [JSON, ROOM, SSE], ids=lambda wire_format: wire_format.name)
def test_who_missed_a_publication_gets_the_same_frame_and_a_large_one_is_not_kept(wire_format):
    small, large = publication("x"), publication("x" * 5000)
    assert wire_format.replayed("room:a", small) is wire_format.message("room:a", small)
    made = wire_format.replayed("room:a", large)
    assert large.frames.get(wire_format.name) is None
    assert made == wire_format.message("room:a", large)
    assert wire_format.replayed("room:a", large) is wire_format.message("room:a", large)


@pytest.mark.parametrize("wire_format", [JSON, ROOM, SSE], ids=lambda wire_format: wire_format.name)
def test_skipped_is_told_and_not_kept(wire_format):
    one = publication({"a": 1})
    assert b'"skipped":3' in wire_format.skipped("room:a", one, 3)
    assert b"skipped" not in wire_format.message("room:a", one)


def test_messagepack_travels_in_binary_frames():
    ((opcode, body),) = framing.split_frames(MSGPACK.event("ping", {}))
    assert (opcode, msgspec.msgpack.decode(body)) == (framing.BINARY, {"type": "ping"})


def test_json_travels_in_text_frames():
    assert payload(JSON.signal("typing", "room:a", b'"user":"bob"')) == (
        b'{"type":"typing","channel":"room:a","user":"bob"}'
    )
    assert msgspec.json.decode(payload(JSON.error(7, ERROR)))["id"] == 7


def test_a_room_does_not_name_its_channel():
    assert payload(ROOM.event("reset", {"channel": "room:a", "offset": 1})) == (
        b'{"type":"reset","offset":1}'
    )


def test_notifications_know_only_themselves_and_resets():
    assert payload(NOTIFY.message("notify:a", publication({"title": "x"}))) == b'{"title":"x"}'
    assert payload(NOTIFY.skipped("notify:a", publication({"title": "x"}), 2)) == b'{"title":"x"}'
    assert b"reset" in NOTIFY.event("reset", {})
    assert NOTIFY.event("unsubscribed", {}) == b""
    assert NOTIFY.error(None, ERROR) == b""
    assert NOTIFY.signal("join", "notify:a", b"") == b""


def test_events_of_a_stream_are_blocks():
    assert SSE.event("reset", {"offset": 1}) == (
        b'event: reset\ndata: {"type":"reset","offset":1}\n\n'
    )
    assert SSE.signal("typing", "room:a", b'"user":"bob"').startswith(b"event: typing\n")


def test_an_error_in_a_stream_is_a_problem():
    block = SSE.error(None, ERROR)
    assert block.startswith(b"event: problem\n")
    assert b'"code":"forbidden"' in block


def test_a_reset_says_where_a_channel_goes_on():
    event = reset(JSON, "chat:a", Position("e", 7), began=3, reason="epoch")
    assert msgspec.json.decode(payload(event)) == {
        "type": "reset",
        "channel": "chat:a",
        "epoch": "e",
        "offset": 7,
        "began": 3,
        "reason": "epoch",
        "within": 10,
    }
