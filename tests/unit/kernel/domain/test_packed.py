"""Reading MessagePack: nothing is made of a hostile value because it says so."""

from __future__ import annotations

import struct
import tracemalloc

import msgspec
import pytest

from services.kernel.domain import packed
from services.kernel.domain.codes import Code
from tests.support.refusals import refused

pack = msgspec.msgpack.encode


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        200,
        60_000,
        2**31,
        2**64 - 1,
        -100,
        -(2**15),
        -(2**31),
        -(2**63),
        1.5,
        "",
        "x" * 31,
        "x" * 200,
        "x" * 300,
        "x" * 70_000,
        [],
        {},
        [1, [2, {"a": [3]}], "b"],
        {"a": {}, "b": [], "c": "d"},
        list(range(20)),
        [0] * 70_000,
        {str(n): n for n in range(20)},
        {str(n): n for n in range(70_000)},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_is_read_as_it_is(value):
    assert packed.decode(pack(value)) == value


@pytest.mark.parametrize("value", [b"", b"x" * 300, b"x" * 70_000, [1, b"x"], {"a": [{"b": b""}]}])
def test_bytes_stay_bytes(value):
    assert packed.decode(pack(value)) == value


def test_a_float_of_four_bytes_passes():
    assert packed.decode(b"\xca" + struct.pack(">f", 0.5)) == 0.5


def nested(depth, opening=b"\x91", inmost=b"\x01"):
    return opening * depth + inmost


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\xdd\xff\xff\xff\xff"])
def test_what_no_decoder_goes_down_is_too_deep(opening):
    with refused(Code.INVALID_DATA, "nested more than 64 deep"):
        packed.decode(nested(100_000, opening))


def test_room_is_made_for_what_is_there_whatever_is_declared():
    """Each of a hundred arrays says that it has 65,535 items: half a megabyte of room for three bytes."""
    tracemalloc.start()
    with refused(Code.INVALID_DATA, "cut short"):
        packed.decode(nested(100, b"\xdc\xff\xff"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000


@pytest.mark.parametrize(
    ("raw", "depth"),
    [
        (b"", 0),
        (pack(5), 0),
        (pack([]), 1),
        (pack({"a": [1, {"b": [b"x"]}], "c": "d"}), 4),
        (pack([[], [], [[]]]), 3),
        (nested(1000, inmost=b""), 1000),
        (nested(100_000, inmost=b""), 4096),
        (b"\xdd\xff\xff\xff\xff" + b"\x01" * 5000 + nested(70), 1),
        (b"\x92\x91\xc1\x91\x91", 2),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_the_depth_of_what_may_be_cut_short(raw, depth):
    assert packed.depth(raw) == depth


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xa3ab",
        b"\xd9",
        b"\xda\x00",
        b"\xcd\x00",
        b"\xcb\x00\x00",
        b"\x91",
        b"\x82\xa1a\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\xa1a\x01",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x01\x02",
    ],
)
def test_bytes_that_are_not_exactly_one_value_are_refused_whatever_they_declare(raw):
    with refused(Code.INVALID_DATA, "cut short|does not end"):
        packed.decode(raw)


@pytest.mark.parametrize("key", [1, 1.5, None, b"a", (), False])
def test_keys_must_be_strings(key):
    with refused(Code.INVALID_DATA, "keys of objects must be strings"):
        packed.decode(pack([{"fine": 1, key: 2}]))


def test_keys_after_a_nested_object_are_checked_as_well():
    with refused(Code.INVALID_DATA, "keys"):
        packed.decode(b"\x82\xa1a\x81\xa1b\x01\x05\x01")


@pytest.mark.parametrize("size", [0, 1, 2, 4, 8, 16, 300, 70_000])
def test_extensions_are_refused(size):
    with refused(Code.INVALID_DATA, "extensions"):
        packed.decode(pack({"a": msgspec.msgpack.Ext(5, b"x" * size)}))


@pytest.mark.parametrize(
    "raw", [b"\xd6\xff\0\0\0\0", b"\xd7\xff" + b"\0" * 8, b"\xc7\x0c\xff" + b"\0" * 12]
)
def test_timestamps_are_refused(raw):
    with refused(Code.INVALID_DATA, "timestamps"):
        packed.decode(raw)


def test_the_unused_code_is_refused():
    with refused(Code.INVALID_DATA, "0xc1"):
        packed.decode(b"\x91\xc1")


@pytest.mark.parametrize(
    ("raw", "members"),
    [
        (pack({"id": 1, "b": "x", "c": True, "d": [], "e": 1}), {"id": 1, "b": "x", "c": True}),
        (pack({"a": 2**40, "b": "x" * 300, "c": {}}), {"a": 2**40, "b": "x" * 300}),
        (pack({"a": 1, "b": b"x"}), {"a": 1}),
        (pack({"a": 1, "b": 1.5}), {"a": 1}),
        (pack({str(n): n for n in range(20)}), {str(n): n for n in range(16)}),
        (b"\x82\xa2id\x07\xa1x\xc1", {"id": 7}),
        (b"\xdf\xff\xff\xff\xff\xa2id\x07", {"id": 7}),
        (b"\x81\xa2id", {}),
        (b"\x80", {}),
        (b"", {}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_members_before_what_is_more_than_a_scalar(raw, members):
    assert msgspec.msgpack.decode(packed.leading(raw)) == members


def test_what_is_no_map_has_no_members():
    assert packed.leading(b"\x91\x01") == b""


def test_a_member_that_is_cut_short_is_not_hidden():
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(packed.leading(b"\x81\xa2id\xdb\xff\xff\xff\xff"))
