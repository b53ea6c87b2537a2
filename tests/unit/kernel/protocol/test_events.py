"""Events as types: what the codecs write is what the reference says."""

from __future__ import annotations

import typing

import msgspec
import pytest

from services.gateway.fanout.wire_format import SSE
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.publications import Kind
from services.kernel.protocol import events, json_codec, msgpack_codec, plain
from services.kernel.protocol.events import Event
from tests.support.publications import publication

READ = {
    "json": msgspec.json.Decoder(Event).decode,
    "msgpack": msgspec.msgpack.Decoder(Event).decode,
}


@pytest.fixture(params=[json_codec.CODEC, msgpack_codec.CODEC], ids=lambda codec: codec.name)
def codec(request):
    return request.param


def test_each_event_has_a_name_of_its_own():
    names = [cls.__struct_config__.tag for cls in typing.get_args(Event)]
    assert len(set(names)) == len(names)
    assert {"connected", "count", "message", "reset"} <= set(names)


@pytest.mark.parametrize("data", [{"a": 1}, b"x", {"a": b"x"}])
def test_messages_are_events(codec, data):
    one = publication(data, meta=b'"from":null,"ts":1,"key":"k","tags":{"a":"b"}')
    event = READ[codec.name](codec.message("a:b", one, skipped=2))
    assert isinstance(event, events.Message)
    assert (event.channel, event.offset, event.sender, event.skipped) == ("a:b", 5, None, 2)
    ephemeral = publication(data, offset=0, meta=b'"ts":1')
    event = READ[codec.name](codec.message("a:b", ephemeral))
    assert (event.offset, event.sender) == (msgspec.UNSET, msgspec.UNSET)


def test_answers_are_events(codec):
    read = READ[codec.name]
    history = codec.history(1, "a:b", [publication(1)], epoch="e", offset=5, more=False)
    assert read(history).messages[0].offset == 5
    assert read(codec.ack(None, {})) == events.Ack()
    refusal = read(codec.error("k", OpenlineError(Code.RATE_LIMITED, "x", retry_after=1)))
    assert (refusal.id, refusal.retry_after) == ("k", 1)
    assert read(codec.pong(3)) == events.Pong(id=3)


def test_a_problem_of_a_stream_is_an_event():
    refusal = OpenlineError(Code.RATE_LIMITED, "x", retry_after=1)
    data = SSE.error(None, refusal).decode().split("data: ")[1]
    told = msgspec.json.decode(data, type=events.Problem)
    assert (told.code, told.temporary, told.retry_after) == ("rate_limited", True, 1)


def test_signals_are_events(codec):
    read = READ[codec.name]
    moved = b'"user":null,"connection":"c","count":2,"users":1'
    joined, left = moved + b',"first":true,"info":{"name":"C"}', moved + b',"last":false'
    assert read(codec.signal("join", "a:b", joined)).info == {"name": "C"}
    assert isinstance(read(codec.signal("leave", "a:b", left)), events.Leave)
    count = read(codec.signal("count", "a:b", b'"count":2,"users":1'))
    assert count == events.CountOnly(channel="a:b", count=2, users=1)
    assert read(codec.signal("typing", "a:b", b'"user":"bob"')).user == "bob"
    assert read(codec.direct(b"[]", kind=Kind.JSON, ts=4)) == events.Direct(data=[], ts=4)


def test_an_unknown_field_is_no_event(codec):
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        READ[codec.name](codec.event("ping", {"colour": 1}))


def test_a_room_says_what_its_reference_says():
    room = plain.RoomCodec("room:x")
    read = msgspec.json.Decoder(events.RoomConnected).decode
    fields = {"channel": "room:x", "connection": "c", "user": "b", "epoch": "e", "offset": 0}
    assert read(room.event("connected", fields)).user == "b"
    assert len(typing.get_args(events.Room)) == 9
