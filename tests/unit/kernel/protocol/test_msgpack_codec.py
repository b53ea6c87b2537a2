"""The MessagePack codec: the same fields as JSON, and bytes stay bytes."""

from __future__ import annotations

import msgspec
import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.publications import Kind
from services.kernel.protocol.codec import Json
from services.kernel.protocol.commands import BadCommand, Ping, Publish
from services.kernel.protocol.msgpack_codec import CODEC
from tests.support.commands import decoded
from tests.support.publications import publication

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode


@pytest.mark.parametrize(
    ("data", "kind", "kept"),
    [
        ({"a": 1}, Kind.JSON, b'{"a":1}'),
        (b"x", Kind.BINARY, b"x"),
        ({"a": b"x"}, Kind.MSGPACK, pack({"a": b"x"})),
    ],
)
def test_a_publish_holds_its_data_in_the_form_of_its_kind(data, kind, kept):
    frame = pack({"type": "publish", "channel": "a:b", "data": data})
    assert decoded(CODEC, frame) == Publish(channel="a:b", data=kept, kind=kind)


@pytest.mark.parametrize(
    "data", [{1: 2}, float("nan"), msgspec.msgpack.Ext(1, b""), [[]] * 3 + [float("inf")]]
)
def test_data_beyond_the_rule_is_refused_with_the_commands_id(data):
    with pytest.raises(BadCommand) as caught:
        decoded(CODEC, pack({"id": 4, "type": "publish", "channel": "a:b", "data": data}))
    assert (caught.value.code, caught.value.id) == (Code.INVALID_DATA, 4)


PUBLISH = pack({"type": "publish", "channel": "a:b"}).replace(b"\x82", b"\x83", 1) + b"\xa4data"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "the frame is not valid MessagePack"),
        (b"\xc1", "the frame is not valid MessagePack"),
        (b"{}", "the frame is not valid MessagePack|object such as"),
        (b"\x90", "object such as"),
        (b"\x81\x01\x02", "object such as"),
        (b"\xdf\xff\xff\xff\xff", "the frame is not valid MessagePack"),
        (pack({"type": b"ping"}), "type must be a string"),
        (pack({"type": msgspec.msgpack.Ext(5, b"ping")}), "type must be a string"),
        (pack({"type": "fly"}), "unknown type 'fly'"),
        (b"\x81\xa4type\xa4fl\xff\xff", "type must be a string"),
        (PUBLISH + b"\xc6\xff\xff\xff\xff", "the frame is not valid MessagePack"),
        (PUBLISH + b"\xdd\xff\xff\xff\xff" * 50, "the frame is not valid MessagePack"),
        (PUBLISH + b"\x91" * 200_000, "64 deep"),
        (PUBLISH + b"\x91" * 65, "64 deep"),
        (PUBLISH + b"\x91" * 65 + b"\x01", "64 deep"),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_a_hostile_frame_is_refused_by_name(frame, reason):
    with pytest.raises(BadCommand, match=reason):
        decoded(CODEC, frame)


def test_extensions_in_unknown_fields_are_ignored():
    assert decoded(CODEC, pack({"x": msgspec.msgpack.Ext(5, b""), "type": "ping"})) == Ping()


def test_an_event_keeps_null_and_converts_json_at_any_depth():
    frame = CODEC.event("connected", {"user": None, "members": [Json(b'{"x":[1]}')]})
    assert unpack(frame) == {"type": "connected", "user": None, "members": [{"x": [1]}]}


def test_an_event_holds_only_what_the_wire_can_carry():
    with pytest.raises(TypeError, match="cannot hold object"):
        CODEC.event("x", {"a": object()})


def test_answers_carry_the_id_of_their_command():
    assert unpack(CODEC.ack(1, {"a": 2})) == {"type": "ack", "id": 1, "a": 2}
    assert unpack(CODEC.pong(None)) == {"type": "pong"}
    assert unpack(CODEC.error("k", OpenlineError(Code.FORBIDDEN, "no"))) == {
        "type": "error",
        "id": "k",
        "code": "forbidden",
        "message": "no",
        "temporary": False,
    }


@pytest.mark.parametrize("data", [{"a": [1, None]}, b"\x00\xff", {"a": [b"\x00\xff"]}, 2**64 - 1])
def test_a_message_carries_data_as_it_is(data):
    head = {"type": "message", "channel": "a:b", "offset": 5, "from": "bob", "ts": 17}
    assert unpack(CODEC.message("a:b", publication(data))) == {**head, "data": data}


def test_an_ephemeral_message_has_no_offset_and_meta_may_be_empty():
    assert unpack(CODEC.message("a:b", publication(1, offset=0, meta=b""))) == {
        "type": "message",
        "channel": "a:b",
        "data": 1,
    }


def test_a_message_is_encoded_once_and_skipped_is_not_kept():
    one = publication(1)
    assert unpack(CODEC.message("a:b", one, skipped=3))["skipped"] == 3
    frame = CODEC.message("a:b", one)
    assert "skipped" not in unpack(frame)
    assert CODEC.message("a:b", one) is frame
    assert one.frames == {"msgpack": frame}


def test_a_direct_message_has_data_and_time():
    frame = CODEC.direct(b"x", kind=Kind.BINARY, ts=9)
    assert unpack(frame) == {"type": "direct", "data": b"x", "ts": 9}


def test_a_signal_has_the_fields_of_its_fragment():
    frame = CODEC.signal("join", "a:b", b'"user":"eve","count":2')
    assert unpack(frame) == {"type": "join", "channel": "a:b", "user": "eve", "count": 2}


def test_history_lists_publications_as_they_are_ordered():
    frame = CODEC.history(
        None,
        "a:b",
        [publication(1), publication([b"x"], offset=6)],
        epoch="e",
        offset=9,
        more=True,
    )
    assert unpack(frame) == {
        "type": "ack",
        "channel": "a:b",
        "messages": [
            {"offset": 5, "from": "bob", "ts": 17, "data": 1},
            {"offset": 6, "from": "bob", "ts": 17, "data": [b"x"]},
        ],
        "epoch": "e",
        "offset": 9,
        "more": True,
    }


def test_an_id_is_found_before_what_cannot_be_read():
    head = pack({"type": "publish", "id": 5, "channel": "a:b", "data": None})[:-1]
    for data in (b"\x91" * 100_000 + b"\xc0", b"\xc1", b"\xdd\xff\xff\xff\xff"):
        with pytest.raises(BadCommand) as caught:
            decoded(CODEC, head + data)
        assert (caught.value.id, CODEC.id(head + data)) == (5, 5)


def test_data_is_not_looked_at_before_its_command_is_made():
    wire = CODEC.read(pack({"type": "publish", "channel": "a:b", "data": {1: 2}}))
    assert wire.channel == "a:b"
    with pytest.raises(BadCommand) as caught:
        CODEC.command(wire)
    assert caught.value.code is Code.INVALID_DATA
