"""The JSON codec: bytes for bytes what a client reads."""

from __future__ import annotations

import json

import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.publications import Kind
from services.kernel.protocol import json_codec
from services.kernel.protocol.codec import Json
from services.kernel.protocol.commands import BadCommand, Publish
from services.kernel.protocol.json_codec import CODEC
from tests.support.commands import decoded
from tests.support.publications import publication


def test_a_publish_holds_its_data_as_json_without_line_breaks():
    frame = b'{"type":"publish","channel":"a:b","data":{\n "x": 1.50}}'
    assert decoded(CODEC, frame) == Publish(channel="a:b", data=b'{"x":1.50}', kind=Kind.JSON)


@pytest.mark.parametrize(
    "data", [b"1e999", b"1" * 30, b'"\xff"', b'"\\ud800"    ', b"[" * 65 + b"]" * 65]
)
def test_data_beyond_the_rule_is_refused_with_the_commands_id(data):
    with pytest.raises(BadCommand) as caught:
        decoded(CODEC, b'{"id":4,"type":"publish","channel":"a:b","data":%b}' % data)
    assert caught.value.code in (Code.INVALID_DATA, Code.BAD_REQUEST)
    assert caught.value.id == 4


def test_an_event_keeps_null_and_embeds_json_at_any_depth():
    fields = {"user": None, "channels": {"a:b": {"epoch": "e"}}, "members": [Json(b'{"x":1.0}')]}
    assert CODEC.event("connected", fields) == (
        b'{"type":"connected","user":null,"channels":{"a:b":{"epoch":"e"}},"members":[{"x":1.0}]}'
    )


def test_an_event_holds_only_what_the_wire_can_carry():
    with pytest.raises(TypeError, match="cannot hold object"):
        CODEC.event("x", {"a": object()})


def test_answers_carry_the_id_of_their_command():
    assert CODEC.ack(1, {"channel": "a:b"}) == b'{"type":"ack","id":1,"channel":"a:b"}'
    assert CODEC.ack(None, {}) == b'{"type":"ack"}'
    assert CODEC.pong("k") == b'{"type":"pong","id":"k"}'
    assert CODEC.pong(None) == b'{"type":"pong"}'
    error = OpenlineError(Code.RATE_LIMITED, "slow", retry_after=0.25)
    assert CODEC.error(2, error) == (
        b'{"type":"error","id":2,"code":"rate_limited","message":"slow","temporary":true,"retry_after":0.25}'
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": [1, None]}, {"data": {"a": [1, None]}}),
        (b"\x00\xff", {"data": "AP8=", "encoding": "base64"}),
        ({"a": [b"\x00\xff"]}, {"data": {"a": ["AP8="]}}),
    ],
)
def test_a_message_carries_data_of_every_kind(data, expected):
    head = {"type": "message", "channel": "a:b", "offset": 5, "from": "bob", "ts": 17}
    assert json.loads(CODEC.message("a:b", publication(data))) == {**head, **expected}


def test_a_message_is_spliced_from_what_is_stored():
    assert CODEC.message("a:b", publication({"x": 1})) == (
        b'{"type":"message","channel":"a:b","offset":5,"from":"bob","ts":17,"data":{"x":1}}'
    )


def test_an_ephemeral_message_has_no_offset_and_meta_may_be_empty():
    assert CODEC.message("a:b", publication(1, offset=0, meta=b"")) == (
        b'{"type":"message","channel":"a:b","data":1}'
    )


def test_a_message_is_encoded_once_and_skipped_is_not_kept():
    one = publication(1)
    skipping = CODEC.message("a:b", one, skipped=3)
    assert skipping.endswith(b'"data":1,"skipped":3}')
    frame = CODEC.message("a:b", one)
    assert b"skipped" not in frame
    assert CODEC.message("a:b", one) is frame
    assert one.frames == {"json": frame}


def test_a_direct_message_has_data_and_time():
    assert CODEC.direct(b"[1]", kind=Kind.JSON, ts=9) == b'{"type":"direct","data":[1],"ts":9}'
    assert CODEC.direct(b"x", kind=Kind.BINARY, ts=9) == (
        b'{"type":"direct","data":"eA==","encoding":"base64","ts":9}'
    )


def test_a_signal_is_spliced_from_its_fragment():
    assert CODEC.signal("join", "a:b", b'"user":"eve","count":2') == (
        b'{"type":"join","channel":"a:b","user":"eve","count":2}'
    )
    assert CODEC.signal("typing", "a:b", b"") == b'{"type":"typing","channel":"a:b"}'


def test_history_lists_publications_as_they_are_ordered():
    frame = CODEC.history(
        3,
        "a:b",
        [publication(1), publication(b"x", offset=6)],
        epoch="e",
        offset=6,
        more=False,
    )
    assert json.loads(frame) == {
        "type": "ack",
        "id": 3,
        "channel": "a:b",
        "messages": [
            {"offset": 5, "from": "bob", "ts": 17, "data": 1},
            {"offset": 6, "from": "bob", "ts": 17, "data": "eA==", "encoding": "base64"},
        ],
        "epoch": "e",
        "offset": 6,
        "more": False,
    }


def test_no_messages_are_an_empty_array():
    assert json_codec.messages([]) == b"[]"


@pytest.mark.parametrize(
    ("frame", "id_"),
    [
        (b'{"type":"publish","id":5,"data":NaN}', 5),
        (b' { "id" : "a,b" ,\n"x":true,"y":null,"z":false, "data": [' + b"[" * 100_000, "a,b"),
        (b'{"id":1,"type":"ping"', 1),
        (b'{"data":[,"id":1', None),
        (b'{"id":"\\u0041","data":NaN}', None),  # one that needs more than a look
        (b'{"id":1e999,"data":NaN}', None),
        (b'{"id"', None),
        (b"{", None),
        (b"hello", None),
        (b"{" + b'"a":1,' * 16 + b'"id":1,"data":NaN}', None),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_an_id_is_found_before_what_cannot_be_read(frame, id_):
    with pytest.raises(BadCommand) as caught:
        decoded(CODEC, frame)
    assert (caught.value.id, CODEC.id(frame)) == (id_, id_)


def test_data_is_not_looked_at_before_its_command_is_made():
    wire = CODEC.read(b'{"type":"publish","channel":"a:b","data":1e999}')
    assert wire.channel == "a:b"
    with pytest.raises(BadCommand) as caught:
        CODEC.command(wire)
    assert caught.value.code is Code.INVALID_DATA
