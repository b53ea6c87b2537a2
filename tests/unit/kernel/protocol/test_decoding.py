"""Decoding: the same refusals whatever the encoding, naming the field and carrying the id."""

from __future__ import annotations

import msgspec
import pytest

from services.kernel.domain import nesting
from services.kernel.domain.codes import Code
from services.kernel.domain.publications import Kind
from services.kernel.protocol import commands
from services.kernel.protocol.commands import BadCommand
from services.kernel.protocol.decoding import Decoding
from services.kernel.protocol.wire import Wire
from tests.support.commands import decoded

JSON = Decoding(
    "JSON",
    decoder=msgspec.json.Decoder(Wire),
    read=msgspec.json.decode,
    check=lambda raw: (Kind.JSON, raw),
    leading=lambda raw: raw.partition(b',"data"')[0] + b"}",
    depth=nesting.depth,
)


def refusal(frame):
    with pytest.raises(BadCommand) as caught:
        decoded(JSON, frame)
    return caught.value


@pytest.mark.parametrize("id_", [1, -(2**63), 2**64 - 1, "x" * 64, "", None])
def test_a_command_keeps_its_id(id_):
    assert decoded(JSON, msgspec.json.encode({"type": "ping", "id": id_})) == commands.Ping(id=id_)


def test_unknown_fields_are_ignored():
    frame = b'{"future":[1,{}],"type":"typing","channel":"a:b","x":null}'
    assert decoded(JSON, frame) == commands.Typing(channel="a:b")


def test_a_command_with_checks_is_made():
    frame = b'{"type":"publish","channel":"a:b","data":[1]}'
    assert decoded(JSON, frame) == commands.Publish(channel="a:b", data=b"[1]")


@pytest.mark.parametrize(
    ("frame", "message", "id_"),
    [
        (b"", "the frame is not valid JSON: .*truncated", None),
        (b"hello", "the frame is not valid JSON", None),
        (b'{"type":"ping","id":1}{', "the frame is not valid JSON: .*trailing", None),
        (b"[]", "a command is an object such as", None),
        (b"5", "a command is an object such as", None),
        (b'{"id":7}', "type is missing; known: auth, subscribe, .*pong", 7),
        (b'{"id":7,"type":null}', "type must be a string; known", 7),
        (b'{"id":"k","type":"fly"}', "unknown type 'fly'; known: auth", "k"),
        (b'{"type":"' + b"x" * 5000 + b'"}', "unknown type 'x{37}…'; known", None),
        (b'{"id":1,"type":"publish","channel":"a:b"}', "missing required field data", 1),
        (b'{"id":1,"type":"typing"}', "missing required field channel", 1),
        (b'{"id":1,"type":"typing","channel":5}', "^channel: Expected str, got int$", 1),
        (b'{"id":1,"type":"history","channel":"a","limit":true}', "^limit: .*got bool", 1),
        (b'{"id":1,"type":"history","channel":"a","limit":501}', "^limit: .*<= 500", 1),
        (b'{"id":1,"type":"history","channel":"a","limit":0}', "^limit: .*>= 1", 1),
        (b'{"id":1,"type":"subscribe","channel":"a","last":1001}', "^last: .*<= 1000", 1),
        (b'{"id":1,"type":"subscribe","channel":"a","last":-1}', "^last: .*>= 0", 1),
        (b'{"id":1,"type":"subscribe","channel":"a","since":"e:1"}', "^since: Expected", 1),
        (
            b'{"id":1,"type":"subscribe","channel":"a","since":{"epoch":"e","offset":"1"}}',
            "^since.offset: Expected int, got str",
            1,
        ),
        (b'{"id":1,"type":"presence","channel":"a","cursor":"%b"}' % (b"x" * 1025), "^cursor", 1),
        (b'{"id":1,"type":"ping","type":"pong"}', "type", 1),
        (b'{"id":true,"type":"ping"}', "^id: Expected int | str | null, got bool", None),
        (b'{"id":1.5,"type":"ping"}', "^id: Expected", None),
        (b'{"id":[],"type":"ping"}', "^id: Expected", None),
        (b'{"id":"%b","type":"ping"}' % (b"x" * 65), "^id: .*length <= 64", None),
        (b'{"id":18446744073709551616,"type":"ping"}', "^id: .*64 bits", None),
        (b'{"id":18446744073709551616,"type":"fly"}', "unknown type", None),
        (b'{"id":"\xff","type":"ping"}', "UTF-8", None),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_a_frame_that_is_no_command_is_refused_by_name(frame, message, id_):
    error = refusal(frame)
    assert error.code is Code.BAD_REQUEST
    assert error.id == id_
    with pytest.raises(BadCommand, match=message):
        raise error


def test_what_a_check_refuses_carries_code_and_id():
    error = refusal(b'{"id":9,"type":"publish","channel":"a:b","data":1,"key":""}')
    assert (error.code, error.id) == (Code.BAD_REQUEST, 9)
    assert "key" in error.message


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("times", [65, 100, 100_000, 200_000])
def test_a_frame_that_never_ends_is_invalid_data_when_it_is_too_deep(opening, times):
    error = refusal(b'{"type":"publish","channel":"a:b","data":' + opening * times)
    assert error.code is Code.INVALID_DATA
    assert "64 deep" in error.message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"[" * 200_000, Code.INVALID_DATA),
        (b"NaN", Code.BAD_REQUEST),
        (b'"\\ud800"', Code.BAD_REQUEST),
        (b"", Code.BAD_REQUEST),
    ],
    ids=lambda value: repr(value)[:32],
)
def test_an_id_before_what_cannot_be_read_is_carried(data, code):
    frame = b'{"id":7,"type":"publish","data":%b' % data
    error = refusal(frame)
    assert (error.code, error.id, JSON.id(frame)) == (code, 7, 7)


@pytest.mark.parametrize(
    ("frame", "id_"),
    [
        (b'{"type":"ping","id":"x"}', "x"),
        (b'{"type":"fly","id":5}', 5),
        (b'{"type":"ping"}', None),
        (b'{"type":"ping","id":1.5}', None),
        (b'{"type":"ping","id":18446744073709551616}', None),
        (b"[]", None),
        (b"", None),
        (b'{"id":"\xff"', None),
    ],
)
def test_the_id_alone(frame, id_):
    assert JSON.id(frame) == id_


def test_data_is_not_looked_at_before_its_command_is_made():
    """What can never be published is refused between the two steps."""
    wire = JSON.read(b'{"id":3,"type":"publish","channel":"a:b","data":[1, 2],"key":""}')
    assert (wire.id, wire.channel, len(wire.data)) == (3, "a:b", 6)
    with pytest.raises(BadCommand, match="key") as caught:
        JSON.command(wire)
    assert caught.value.id == 3
