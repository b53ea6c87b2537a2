"""Plain routes: whatever a page sends is taken, and what it reads needs no explanation."""

from __future__ import annotations

import json

import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol.commands import BadCommand, Ping, Pong, Publish, Typing
from services.kernel.protocol.plain import NotifyCodec, RoomCodec, notification
from tests.support.commands import decoded
from tests.support.publications import publication

ROOM = RoomCodec("room:x")


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        (b'{"text":"hi"}', b'{"text":"hi"}'),
        (b"{}", b"{}"),
        (b' {"a":\n1} ', b'{"a":1}'),
        (b'{"type":"message","x":1}', b'{"type":"message","x":1}'),
        (b'{"type":5}', b'{"type":5}'),
        (b'{"type":["ping"]}', b'{"type":["ping"]}'),
        (b'{"type":null,"id":[]}', b'{"type":null,"id":[]}'),
        (b"hi", b'{"text":"hi"}'),
        (b"", b'{"text":""}'),
        (b"[1]", b'{"text":"[1]"}'),
        (b'"ping"', b'{"text":"\\"ping\\""}'),
        (b"a [1", b'{"text":"a [1"}'),
        (b"pings", b'{"text":"pings"}'),
        (b'\xef\xbb\xbf {"a":1}', b'{"a":1}'),
        (b"line\nline", b'{"text":"line\\nline"}'),
        (b'{"type":"pingpong"}', b'{"type":"pingpong"}'),
        ("née".encode(), '{"text":"née"}'.encode()),
    ],
)
def test_an_object_is_published_and_anything_else_as_text(frame, data):
    assert decoded(ROOM, frame) == Publish(channel="room:x", data=data)


@pytest.mark.parametrize(
    ("frame", "command"),
    [
        (b'{"type":"typing"}', Typing(channel="room:x")),
        (b'{ "x": 1, "type" : "typing" }', Typing(channel="room:x")),
        (b'{"type":"t\\u0079ping"}', Typing(channel="room:x")),
        (b'{"type":"ping"}', Ping()),
        (b'{"type":"pong"}', Pong()),
        (b"ping", Ping()),
        (b"pong", Pong()),
    ],
)
def test_control_words_are_commands(frame, command):
    assert decoded(ROOM, frame) == command


@pytest.mark.parametrize(
    "frame", [b'{"type":"auth","token":"secret"}', b'\xef\xbb\xbf{"token":"secret","type":"auth"}']
)
def test_a_token_is_never_published(frame):
    with pytest.raises(BadCommand, match="connect again") as caught:
        decoded(ROOM, frame)
    assert caught.value.code is Code.BAD_REQUEST
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b'{"a":1e999}', "finite"),
        (b'{"type":"auth","token":"secret"', "truncated.*send other text as"),
        (b'{"a":1} {"b":2}', "trailing"),
        (b"{smile}", "malformed"),
        (b" [1", "truncated"),
        (b"[" * 2000, "64 deep"),
        (b"[" * 100_000, "64 deep"),
        (b'{"a":18446744073709551616}', "64 bits"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "64 deep"),
        (b'{"a":' * 200_000, "64 deep"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"type":"\xff"}', "UTF-8"),
        (b'{"type":%b' % (b"[" * 200_000), "64 deep"),
        (b"\xff", "not text"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_data_beyond_the_rule_is_refused(frame, reason):
    with pytest.raises(BadCommand, match=reason) as caught:
        decoded(ROOM, frame)
    assert caught.value.code is Code.INVALID_DATA


def test_events_of_a_room_leave_out_the_channel():
    one = publication({"text": "hi"})
    assert ROOM.message("room:x", one) == (
        b'{"type":"message","offset":5,"from":"bob","ts":17,"data":{"text":"hi"}}'
    )
    assert one.frames == {"room": ROOM.message("room:x", one)}
    assert ROOM.signal("join", "room:x", b'"user":"eve"') == b'{"type":"join","user":"eve"}'
    reset = ROOM.event("reset", {"channel": "room:x", "epoch": "e", "offset": 4})
    assert reset == b'{"type":"reset","epoch":"e","offset":4}'
    error = ROOM.error(None, OpenlineError(Code.FORBIDDEN, "no"))
    assert error == b'{"type":"error","code":"forbidden","message":"no","temporary":false}'


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        ({"title": "t"}, {"title": "t"}),
        ({"type": "x"}, {"type": "x"}),
        ([1], {"type": "notification", "data": [1]}),
        ("{", {"type": "notification", "data": "{"}),
        (b"\xff", {"type": "notification", "data": "/w==", "encoding": "base64"}),
        ({"a": b"\xff"}, {"a": "/w=="}),
        ([b"\xff"], {"type": "notification", "data": ["/w=="]}),
    ],
)
def test_a_notification_is_an_object_as_it_was_published(data, seen):
    assert json.loads(notification(publication(data))) == seen


def test_a_notification_is_encoded_once():
    one = publication({"a": 1})
    frame = NotifyCodec().message("notify:x", one, skipped=2)
    assert frame == b'{"a":1}'
    assert NotifyCodec().message("notify:x", one) is frame
    assert one.frames == {"notify": frame}


def test_the_notify_route_reads_nothing():
    with pytest.raises(BadCommand, match="only notifies"):
        decoded(NotifyCodec(), b'{"type":"ping"}')


def test_data_is_not_looked_at_before_its_command_is_made():
    wire = ROOM.read(b'{"a":1e999}')
    assert (wire.channel, len(wire.data)) == ("room:x", 11)
    with pytest.raises(BadCommand, match="finite"):
        ROOM.command(wire)
