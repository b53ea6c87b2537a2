"""The data rule: what may be published, in either encoding, and in which form it is kept."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest

from services.kernel.domain import data
from services.kernel.domain.codes import Code
from services.kernel.domain.publications import Kind
from tests.support.refusals import refused

ODD = (float("nan"), float("inf"), float("-inf"))


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "0",
        "-0.5e-3",
        "1.7976931348623157e308",
        "1e-400",
        "18446744073709551615",
        "-9223372036854775808",
        '"\\u0000 \\ud83d\\ude00 é"',
        '{"a":[1,{"b":null}],"c":"1234567890123456789012345"}',
        '{"a":1,"a":2}',
        "12345678901234567890.5",
        "[" * 64 + "1" + "]" * 64,
        "[" * 63 + "[],{}" + "]" * 63,
        "[" + "[]," * 100 + "[]]",
        '"' + "[" * 100 + '"',
    ],
)
def test_valid_json_is_kept_as_it_was_written(text):
    assert data.check_json(text.encode()) == text.encode()


def test_json_loses_its_line_breaks_and_outer_blanks_alone():
    assert data.check_json(b' \t{"a": "b c"} ') == b'{"a": "b c"}'
    assert data.check_json(b'{\r\n  "a": "b\\nc",\n "d": 1.50}\n') == b'{"a":"b\\nc","d":1.50}'


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "truncated"),
        (b"tru", "truncated"),
        (b"[1,]", "trailing comma"),
        (b"1 2", "trailing"),
        (b"NaN", "NaN and Infinity"),
        (b"-Infinity", "invalid"),
        (b"01", "invalid number"),
        (b"'a'", "invalid character"),
        (b'"a\nb"', "invalid character"),
        (b'"\x00"', "invalid character"),
        (b'"\\ud800"', "truncated"),
        (b'"\\ud800xxxxxxxx"', "escape|surrogate"),
        (b'"\\udc00 lone"', "surrogate"),
        (b'"\xff"', "UTF-8"),
        (b'{"\xff":1}', "UTF-8"),
        (b'"\xed\xa0\x80"', "half of a surrogate pair"),
        (b"{1:2}", "string"),
        (b"\xef\xbb\xbf1", "byte order mark"),
        (b"1e999", "finite"),
        (b'{"a":[-1e999]}', "finite"),
        (b"18446744073709551616", "64 bits"),
        (b"-9223372036854775809", "64 bits"),
        (b'{"a":[' + b"9" * 400 + b"]}", "64 bits"),
        (b"9" * 100_000, "64 bits"),
        (b"[" * 65 + b"]" * 65, "64 deep"),
        (b"[" * 65 + b"1" + b"]" * 65, "64 deep"),
        (b'{"a":' * 65 + b"{}" + b"}" * 65, "64 deep"),
        (b"[" * 64 + b"9" * 20 + b"]" * 64, "64 bits"),
        (b"[" * 200_000, "64 deep"),
        (b"[" * 65, "64 deep"),
        (b'{"a":' * 200_000, "64 deep"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_other_json_is_refused_with_the_reason(raw, reason):
    with refused(Code.INVALID_DATA, f"^data: .*({reason})"):
        data.check_json(raw)


@pytest.mark.parametrize("value", [None, 2**64 - 1, -(2**63), 1.5, "é\0", [{"a": []}], {}])
def test_messagepack_without_bytes_is_kept_as_json(value):
    kind, text = data.check_msgpack(msgspec.msgpack.encode(value))
    assert kind is Kind.JSON
    assert json.loads(text) == value
    assert b"\n" not in text


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a"])
def test_sixty_four_containers_are_the_deepest(opening):
    for inmost in (opening + b"\x01", b"\x90", b"\x80"):
        assert data.check_msgpack(opening * 63 + inmost)[0] is Kind.JSON


def test_bytes_alone_are_kept_as_they_are():
    assert data.check_msgpack(b"\xc4\x03a\x00\xff") == (Kind.BINARY, b"a\x00\xff")


def test_bytes_inside_keep_the_value_in_messagepack():
    kind, raw = data.check_msgpack(msgspec.msgpack.encode({"a": [b"\xff"]}))
    assert kind is Kind.MSGPACK
    assert msgspec.msgpack.decode(raw) == {"a": [b"\xff"]}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\xa1\xff", "UTF-8"),
        (b"\xa3\xed\xa0\x80", "half of a surrogate pair"),
        (b"\x81\xa1\xff\xc4\x00", "UTF-8"),
        (b"\x81\x01\x02", "keys"),
        (b"\xc7\x01\x05a", "extensions"),
        *((b"\x92\x01\xcb" + struct.pack(">d", number), "finite") for number in ODD),
        *((b"\x81\xa1a\xca" + struct.pack(">f", number), "finite") for number in ODD),
        (b"\x91" * 65 + b"\x01", "64 deep"),
        (b"\x91" * 64 + b"\x90", "64 deep"),
        (b"\x81\xa1a" * 64 + b"\x80", "64 deep"),
        (b"", "cut short"),
    ],
)
def test_other_messagepack_is_refused_with_the_reason(raw, reason):
    with refused(Code.INVALID_DATA, f"^data: .*{reason}"):
        data.check_msgpack(raw)


@pytest.mark.parametrize("key", ["k", "x" * 128, "order 5 é"])
def test_a_key_is_printable_text(key):
    assert data.check_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 129, "a\n", "a\0", "\u202e", 5, None, b"k"])
def test_another_key_is_refused(key):
    with refused(Code.BAD_REQUEST, "key must be 1-128 printable characters"):
        data.check_key(key)
