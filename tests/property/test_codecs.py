"""Codecs under any bytes: a command or a named refusal, and what goes in comes out the same in both encodings."""

from __future__ import annotations

import base64
import json
import math
import string
from functools import partial

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.kernel.domain import channels, data, packed
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import MAX_OFFSET, Position
from services.kernel.domain.publications import Kind, Publication
from services.kernel.protocol import json_codec, msgpack_codec, plain, sse
from services.kernel.protocol.commands import TYPES, BadCommand, Command
from tests.support.commands import decoded

JSON, MSGPACK = json_codec.CODEC, msgpack_codec.CODEC
CODECS = [JSON, MSGPACK, plain.RoomCodec("room:x"), plain.NotifyCodec()]

EXAMPLES = settings.default.max_examples
quick = settings(max_examples=3 * EXAMPLES, deadline=None)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
integers = st.integers(data.MIN_INTEGER, data.MAX_INTEGER)
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
values_with_bytes = st.recursive(
    scalars | text | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)

epochs = st.text(string.ascii_letters + string.digits, min_size=1, max_size=32)
offsets = st.integers(0, MAX_OFFSET)
names = st.text(string.ascii_letters + string.digits + "_.:@|=+-", min_size=1, max_size=20)
channel_names = st.builds(
    "{}:{}".format, st.text(string.ascii_lowercase, min_size=1, max_size=8), names
)
at = st.fixed_dictionaries({"epoch": epochs, "offset": offsets})
ids = st.none() | integers | st.text(st.characters(exclude_categories=["Cs"]), max_size=64)
keys = st.text(string.ascii_letters + "é -_.", min_size=1, max_size=128)


def command(type_, required=None, optional=None):
    return st.fixed_dictionaries(
        {"type": st.just(type_), **(required or {})}, optional={"id": ids, **(optional or {})}
    )


on_channel = {"channel": channel_names}
written = st.one_of(
    command("auth", {}, {"token": text, "since": st.dictionaries(channel_names, at, max_size=3)}),
    command("subscribe", on_channel, {"since": at}),
    command("subscribe", on_channel, {"last": st.integers(0, 1000)}),
    command(
        "publish",
        {**on_channel, "data": values},
        {"key": keys, "ephemeral": st.booleans(), "echo": st.booleans()},
    ),
    command("presence", on_channel, {"cursor": text}),
    command(
        "history", on_channel, {"since": at, "limit": st.integers(1, 500), "reverse": st.booleans()}
    ),
    *(command(type_, on_channel) for type_ in ("unsubscribe", "typing")),
    *(command(type_) for type_ in ("ping", "pong")),
)
almost = st.dictionaries(
    st.sampled_from(["id", "type", "channel", "data", "since", "last", "limit", "key", "token"]),
    wild | st.sampled_from(TYPES) | at,
)

JSON_PARTS = [
    *(part.encode() for part in '{}[]",:'),
    *(b'"type":"publish"', b'"channel":"a:b"', b'"data":', b'"id":', b'"since":', b"1e999"),
    *(b"-", b"0", b"9" * 40, b"\\u", b"d800", b"\x00", b"\xff", b"null", b"tru", b"NaN", b" \n"),
]
json_like = st.lists(st.sampled_from(JSON_PARTS), max_size=20).map(b"".join)
msgpack_like = st.lists(
    st.integers(0x80, 0xFF).map(lambda code: bytes([code]))
    | st.sampled_from([b"\x00", b"\xa4type\xa7publish", b"\xa4data", b"\xa2id\x01", b"\xff" * 4])
    | st.binary(max_size=4),
    max_size=16,
).map(b"".join)
mangled = st.builds(
    lambda frame, place, junk: frame[: place % (len(frame) + 1)] + junk + frame[place:],
    st.one_of(written.map(msgspec.json.encode), written.map(msgspec.msgpack.encode)),
    st.integers(0, 200),
    st.binary(max_size=3),
)
hostile = st.one_of(
    st.binary(max_size=64),
    json_like,
    msgpack_like,
    mangled,
    almost.map(lambda fields: json.dumps(fields).encode()),
)


def attempt(call, argument):
    """What the call returns, or the refusal it raises; any other exception fails the test."""
    try:
        return call(argument)
    except OpenlineError as error:
        return error


@pytest.mark.parametrize("times", [2, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_any_frame_is_a_command_or_a_named_refusal(codec, times):
    @settings(max_examples=times * EXAMPLES, deadline=None)
    @given(hostile)
    @example(b"[" * 100_000)
    @example(b"\x91" * 100_000)
    @example(b'{"type":"publish","channel":"a:b","data":' + b'{"a":' * 50_000)
    def check(frame):
        outcome = attempt(partial(decoded, codec), frame)
        if isinstance(outcome, BadCommand):
            assert outcome.code in (Code.BAD_REQUEST, Code.INVALID_DATA)
            assert len(outcome.message) < 300
            # Whatever was refused, the refusal itself can be sent.
            assert json.loads(JSON.error(outcome.id, outcome))["type"] == "error"
            sent = msgspec.msgpack.decode(MSGPACK.error(outcome.id, outcome))
            assert sent["code"] == outcome.code
        else:
            assert isinstance(outcome, Command)

    check()


@quick
@given(written)
def test_both_encodings_of_a_command_mean_the_same(fields):
    in_json = decoded(JSON, msgspec.json.encode(fields))
    assert in_json == decoded(MSGPACK, msgspec.msgpack.encode(fields))
    assert type(in_json).__name__.lower() == fields["type"]
    for field, value in fields.items():
        if field == "data":
            assert msgspec.json.decode(in_json.data) == value
        elif field == "since" and fields["type"] == "auth":
            assert in_json.since == {channel: Position(**a) for channel, a in value.items()}
        elif field == "since":
            assert in_json.since == Position(**value)
        elif field != "type":
            assert getattr(in_json, field) == value


def unbytes(value):
    """What a JSON reader sees of a value that holds bytes."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [unbytes(item) for item in value]
    if isinstance(value, dict):
        return {key: unbytes(item) for key, item in value.items()}
    return value


@quick
@given(values_with_bytes, channel_names, st.integers(0, MAX_OFFSET), st.integers(0, 5))
def test_a_message_says_the_same_in_every_encoding(value, channel, offset, skipped):
    kind, stored = data.check_msgpack(msgspec.msgpack.encode(value))
    publication = Publication(
        epoch="e", offset=offset, data=stored, meta=b'"from":"b","ts":1', kind=kind
    )
    in_msgpack = msgspec.msgpack.decode(MSGPACK.message(channel, publication, skipped=skipped))
    in_json = json.loads(JSON.message(channel, publication, skipped=skipped))
    assert in_msgpack["data"] == value
    assert in_json.pop("encoding", None) == ("base64" if kind is Kind.BINARY else None)
    assert in_json == unbytes(in_msgpack)
    in_room = json.loads(CODECS[2].message(channel, publication, skipped=skipped))
    in_room.pop("encoding", None)
    assert {"channel": channel, **in_room} == in_json


def refuse_constant(name):
    raise ValueError(name)


def within_the_rule(value, depth=0):
    if isinstance(value, list | dict):
        inner = value if isinstance(value, list) else value.values()
        return depth < 64 and all(within_the_rule(item, depth + 1) for item in inner)
    if isinstance(value, int):
        return data.MIN_INTEGER <= value <= data.MAX_INTEGER
    return not isinstance(value, float) or math.isfinite(value)


def has_lone_surrogate(raw):
    try:
        json.dumps(json.loads(raw), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


@settings(max_examples=6 * EXAMPLES, deadline=None)
@given(json_like | wild.map(lambda value: json.dumps(value).encode()))
@example(b'{"a":"\\ud800"}')
@example(b"[" * 64 + b"]" * 64)
@example(b"[" * 65 + b"]" * 65)
def test_what_counts_as_json_is_what_pythons_own_parser_takes(raw):
    try:
        value = json.loads(raw.decode(), parse_constant=refuse_constant)
        expected = within_the_rule(value) and not has_lone_surrogate(raw)
    except (ValueError, RecursionError):
        expected = False
    outcome = attempt(data.check_json, raw)
    if expected:
        assert json.loads(outcome) == value
        assert not set(outcome) & set(b"\r\n")
    else:
        assert outcome.code is Code.INVALID_DATA


@quick
@given(values_with_bytes)
def test_bytes_are_found_where_the_value_holds_them(value):
    raw = msgspec.msgpack.encode(value)
    assert (data.check_msgpack(raw)[0] is not Kind.JSON) == (unbytes(value) != value)
    for cut in range(len(raw)):
        with pytest.raises(OpenlineError):
            packed.decode(raw[:cut])


@settings(max_examples=6 * EXAMPLES, deadline=None)
@given(msgpack_like | st.binary(max_size=40))
def test_what_is_let_through_can_be_read_again(raw):
    outcome = attempt(data.check_msgpack, raw)
    if isinstance(outcome, OpenlineError):
        assert outcome.code is Code.INVALID_DATA
        return
    kind, stored = outcome
    if kind is Kind.JSON:
        assert data.check_json(stored) == stored
    elif kind is Kind.MSGPACK:
        assert data.check_msgpack(stored) == (kind, stored)


@quick
@given(st.dictionaries(channel_names, st.builds(Position, epochs, offsets), max_size=8))
def test_a_cursor_reads_back(positions):
    assert sse.decode_cursor(sse.encode_cursor(positions)) == positions


@quick
@given(
    st.text(max_size=40)
    | st.text(string.ascii_letters + string.digits + "-_=", max_size=40).map("1{}".format)
    | st.text(string.ascii_letters + ":\n 0123", max_size=20).map(
        lambda inner: "1" + base64.urlsafe_b64encode(inner.encode()).decode().rstrip("=")
    )
)
def test_any_other_cursor_is_refused(cursor):
    outcome = attempt(sse.decode_cursor, cursor)
    if isinstance(outcome, OpenlineError):
        assert outcome.code is Code.BAD_REQUEST
    else:
        assert sse.encode_cursor(outcome) == cursor
        assert all(channels.split(channel) for channel in outcome)
