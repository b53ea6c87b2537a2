"""Queries, forms and bodies become checked values, or a refusal that names what was wrong."""

from __future__ import annotations

import msgspec
import pytest

from services.kernel.domain.codes import Code
from services.publisher.routes import bodies, reading
from services.publisher.routes.models import HistoryQuery, PageQuery
from tests.support.refusals import refused

_PUBLISH = reading.decoder(bodies.Publish)


def query(text, model=HistoryQuery):
    return model.model_validate(reading.query({"query_string": text}, model))


def test_a_field_of_the_query():
    assert query(b"a=1&cursor=c%C3%BC+x", PageQuery).cursor == "cü x"
    assert query(b"a=1", PageQuery).cursor is None
    assert query(b"cursor=", PageQuery).cursor == ""


def test_a_field_given_twice_is_refused_when_it_counts():
    with refused(Code.BAD_REQUEST, "give limit once"):
        query(b"limit=1&limit=1")
    assert query(b"a=1&a=1").limit == 100


@pytest.mark.parametrize("text", [b"a=%C3%28", b"a=\xff", b"%FF=1"])
def test_what_is_no_utf8_is_refused(text):
    with refused(Code.BAD_REQUEST, "UTF-8"):
        query(text)


def test_fields_are_bounded():
    with refused(Code.BAD_REQUEST, "at most 100"):
        query(b"&".join(b"a%d=1" % n for n in range(101)))


def test_repeated_fields_become_a_list():
    fields = [("a", "1"), ("b", "x"), ("a", "2"), ("a", "3")]
    assert reading.collected(fields) == {"a": ["1", "2", "3"], "b": "x"}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not as it should be"),
        (b'{"data":1,"key":1}', r"`\$.key`"),
        (b'{"data":1,"ephemeral":1}', r"`\$.ephemeral`"),
        (b'{"data":1,"expect":{"epoch":"a","offset":true}}', r"`\$.expect.offset`"),
        (b'{"data":1,"expect":{"epoch":"a","offset":-1}}', "from 0 to"),
        (b'{"data":1,"expect":{"epoch":"a","offset":1.5}}', r"`\$.expect.offset`"),
        (b'{"data":1,"key":"\xff"}', "not JSON"),
    ],
)
def test_a_bad_body(raw, reason):
    with refused(Code.BAD_REQUEST, reason):
        reading.decode(raw, _PUBLISH)


def test_what_is_too_deep_to_be_read_is_refused_as_data_is():
    with refused(Code.INVALID_DATA, "64 deep"):
        reading.decode(b'{"x":' + b"[" * 100_000, _PUBLISH)


def test_a_whole_number_may_be_written_as_a_float():
    expected = reading.decode(b'{"data":1,"expect":{"epoch":"a","offset":7.0}}', _PUBLISH).expect
    assert expected.checked() == ("a", 7)


def test_a_field_is_named_when_it_is_wrong():
    text = msgspec.json.Decoder(str)
    assert reading.decode_field("title", b'"x"', text) == "x"
    with refused(Code.BAD_REQUEST, "title: "):
        reading.decode_field("title", b"1", text)


def test_a_subject():
    assert reading.checked_subject("bob|1", "user") == "bob|1"
    for user in ("", "a/b", "x" * 129, "é"):
        with refused(Code.BAD_REQUEST, "user is 1-128"):
            reading.checked_subject(user, "user")
