"""Commands as written: what the decoder cannot know is checked when the command is made."""

from __future__ import annotations

import msgspec
import pytest

from services.kernel.domain.codes import Code
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind
from services.kernel.protocol import commands, wire
from tests.support.refusals import refused


def as_json(raw):
    return Kind.JSON, raw


def read(text):
    return msgspec.json.decode(text, type=wire.Wire).command(as_json)


AT = b'{"epoch":"e","offset":4}'


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (b'{"type":"auth"}', commands.Auth()),
        (
            b'{"type":"auth","id":1,"token":"t","since":{"user:b":%b}}' % AT,
            commands.Auth(id=1, token="t", since={"user:b": Position("e", 4)}),
        ),
        (
            b'{"type":"auth","previous":"c","client":"%b"}' % (b"n" * 22),
            commands.Auth(previous="c", client="n" * 22),
        ),
        (b'{"type":"subscribe","channel":"a:b"}', commands.Subscribe(channel="a:b")),
        (
            b'{"type":"subscribe","id":"s","channel":"a:b","since":%b,"last":null}' % AT,
            commands.Subscribe(id="s", channel="a:b", since=Position("e", 4)),
        ),
        (
            b'{"type":"subscribe","channel":"a:b","last":0}',
            commands.Subscribe(channel="a:b", last=0),
        ),
        (
            b'{"type":"publish","channel":"a:b","data":{"x":1}}',
            commands.Publish(channel="a:b", data=b'{"x":1}'),
        ),
        (
            b'{"type":"publish","id":2,"channel":"a:b","data":null,"key":"k","conflate_key":"c","ephemeral":true,"echo":false}',
            commands.Publish(
                id=2,
                channel="a:b",
                data=b"null",
                key="k",
                conflate_key="c",
                ephemeral=True,
                echo=False,
            ),
        ),
        (b'{"type":"history","channel":"a:b"}', commands.History(channel="a:b")),
        (
            b'{"type":"history","id":3,"channel":"a:b","since":%b,"limit":500,"reverse":true}' % AT,
            commands.History(id=3, channel="a:b", since=Position("e", 4), limit=500, reverse=True),
        ),
    ],
)
def test_a_written_command_becomes_the_command(text, command):
    assert read(text) == command


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"type":"subscribe","channel":"a:b","since":%b,"last":1}' % AT, "not both"),
        (
            b'{"type":"subscribe","channel":"a:b","since":{"epoch":"-","offset":1}}',
            "epoch",
        ),
        (b'{"type":"auth","since":{"a:b":{"epoch":"e","offset":-1}}}', "offset"),
        (b'{"type":"history","channel":"a:b","since":{"epoch":"","offset":1}}', "epoch"),
        (b'{"type":"publish","channel":"a:b","data":1,"key":""}', "key"),
        (b'{"type":"publish","channel":"a:b","data":1,"conflate_key":""}', "^conflate_key must be"),
    ],
)
def test_what_cannot_be_is_refused(text, reason):
    with refused(Code.BAD_REQUEST, reason):
        read(text)


def test_positions_are_given_for_at_most_100_channels():
    at = [b'"a:%d":%b' % (number, AT) for number in range(101)]
    assert len(read(b'{"type":"auth","since":{%b}}' % b",".join(at[:100])).since) == 100
    with pytest.raises(msgspec.ValidationError, match="length <= 100"):
        read(b'{"type":"auth","since":{%b}}' % b",".join(at))
