"""Data is held against its namespace's JSON Schema, and bad schemas stop the start."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import msgspec
import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.namespaces import Namespace, NamespacesError
from services.kernel.domain.publications import Kind
from services.kernel.domain.schemas import MAX_REASON, Schemas

TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "maxLength": 5}},
}


def namespace(schema):
    return Namespace(name="room", schema=schema)


def refusal(schema, data, kind=Kind.JSON):
    room = namespace(schema)
    with pytest.raises(OpenlineError) as caught:
        Schemas([room]).check(room, data, kind)
    assert caught.value.code is Code.INVALID_DATA
    return caught.value.message


def test_without_a_schema_anything_passes():
    Schemas([namespace(None)]).check(namespace(None), b"\x00", Kind.BINARY)


def test_data_that_fits_passes():
    room = namespace(TEXT)
    Schemas([room]).check(room, b'{"text":"hi"}')


def test_data_that_fails_is_refused_with_place_and_reason():
    assert "$.text: 5 is not of type 'string'" in refusal(TEXT, b'{"text":5}')


def test_a_long_value_does_not_make_a_long_reason():
    assert len(refusal({"type": "string"}, b"[" + b"1," * 999 + b"1]")) < MAX_REASON + 60


def test_binary_data_never_fits():
    assert "binary" in refusal(TEXT, b"\x00", Kind.BINARY)


def test_bytes_in_messagepack_count_as_base64_text():
    room = namespace({"properties": {"blob": {"type": "string"}}})
    Schemas([room]).check(room, msgspec.msgpack.encode({"blob": b"\x00"}), Kind.MSGPACK)


def test_a_reference_inside_the_schema_works():
    schema = {"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}
    assert "integer" in refusal(schema, b'"x"')


def test_a_schema_may_be_a_meta_schema():
    schema = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
    assert "type" in refusal(schema, b'{"type":"nonsense"}')


@contextmanager
def room_for(frames):
    """The block may nest this many calls, and some for the coverage of its own."""
    depth, frame = 0, sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def test_deep_data_under_a_recursive_schema_is_refused_not_a_crash():
    schema = {"allOf": [{"anyOf": [{"oneOf": [{"items": {"$ref": "#"}}]}]}]}
    room = namespace(schema)
    schemas = Schemas([room])
    with room_for(200), pytest.raises(OpenlineError, match="nested too deep") as caught:
        schemas.check(room, b"[" * 64 + b"]" * 64)
    assert caught.value.code is Code.INVALID_DATA


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.org/schema.json"},
        {"properties": {"a": {"$ref": "other.json"}}},
        {"anyOf": [{"$ref": "#/$defs/missing"}]},
    ],
)
def test_a_reference_to_elsewhere_stops_the_start(schema):
    with pytest.raises(NamespacesError, match=r"namespace 'room', option 'schema': \$ref"):
        Schemas([namespace(schema)])


def test_a_schema_that_is_none_stops_the_start():
    with pytest.raises(NamespacesError, match=r"option 'schema': \$\.type"):
        Schemas([namespace({"type": "strnig"})])


def test_a_property_named_ref_is_no_reference():
    Schemas([namespace({"properties": {"$ref": {"type": "string"}}})])
