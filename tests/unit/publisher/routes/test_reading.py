"""Queries, forms and bodies become checked values, or a refusal that names what was wrong."""

from __future__ import annotations

import msgspec
import pytest

from services.kernel.domain.codes import Code
from services.publisher.routes import bodies, reading
from services.publisher.routes.models import HistoryQuery, PageQuery, PublishQuery
from tests.support.refusals import refused

_PUBLISH = reading.decoder(bodies.Publish)


def query(text, model=HistoryQuery):
    return model.model_validate(reading.query({"query_string": text}, model))


def test_a_field_of_the_query():
    assert query(b"cursor=c%C3%BC+x", PageQuery).cursor == "cü x"
    assert query(b"", PageQuery).cursor is None
    assert query(b"cursor=", PageQuery).cursor == ""


def test_a_field_given_twice_is_refused():
    with refused(Code.BAD_REQUEST, "give limit once"):
        query(b"limit=1&limit=1")


def test_a_misspelt_field_of_a_query_is_refused_naming_the_nearest():
    with refused(Code.BAD_REQUEST, "no field of the query 'limt' here; the nearest is 'limit'"):
        query(b"since=&limt=1")
    with refused(Code.BAD_REQUEST, "the nearest is 'ephemeral'"):
        query(b"ephemral=true", PublishQuery)


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


@pytest.mark.parametrize(
    ("kind", "raw", "reason"),
    [
        (bodies.Publish, b'{"data":1,"ephemral":true}', "no member 'ephemral' .*'ephemeral'"),
        (
            bodies.Publish,
            b'{"dta":1}',
            "nearest is 'data', and known are data, key, conflate_key, tags,",
        ),
        (bodies.Publish, b'{"data":1,"idempotency_key":"a"}', "the nearest is 'key'"),
        (
            bodies.Publish,
            b'{"data":1,"expect":{"epoch":"a","ofset":1}}',
            r"no member of \$.expect 'ofset' .* 'offset', and known are epoch, offset$",
        ),
        (
            bodies.Batch,
            b'{"messages":[{"channel":"a:b","data":1},{"chanel":"a:b","data":1}]}',
            r"no member of \$.messages\[1\] 'chanel' .* 'channel'",
        ),
        (
            bodies.Batch,
            b'{"messages":[{"channel":"a:b","data":1,"expect":{"epoc":"a"}}]}',
            r"no member of \$.messages\[0\].expect 'epoc' .* 'epoch'",
        ),
        (bodies.Batch, b'{"message":[]}', "no member 'message' here; the nearest is 'messages'"),
        (bodies.Broadcast, b'{"channel":"a:b","data":1}', "the nearest is 'channels'"),
        (bodies.DirectMessage, b'{"data":1,"key":"a"}', "no member 'key' .*known are data"),
        (bodies.Publish, b'{"a` - at `$.x":1}', "known are data, key, conflate_key, tags"),
        (bodies.Publish, b'{"a\\n`":1}', r"no member 'a\\n`' here"),
        (bodies.Publish, b'{"%s":1}' % (b"x" * 100_000), r"'x+\.\.\.' here; the nearest is"),
    ],
)
def test_a_misspelt_member_is_refused_naming_the_nearest(kind, raw, reason):
    with refused(Code.BAD_REQUEST, reason):
        reading.decode(raw, reading.decoder(kind))


def keyed(value):
    return reading.BareRequest({"type": "http", "headers": [(b"idempotency-key", value)]})


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"8e03978e-40d5", "8e03978e-40d5"),
        (b'"8e03978e-40d5"', "8e03978e-40d5"),
        (rb'"a \"b\" \\"', r'a "b" \ '[:-1]),
        (b'"', '"'),
        (b'""', '""'),
    ],
)
def test_the_header_that_counts_as_a_key(value, key):
    assert reading.idempotency_key(keyed(value)) == key


def test_a_request_without_the_header_has_no_key():
    assert reading.idempotency_key(reading.BareRequest({"type": "http", "headers": []})) is None


@pytest.mark.parametrize("value", [b"", b"\xff", "ü".encode(), b"x" * 129, b"a\x7f"])
def test_a_header_that_is_no_key_is_refused(value):
    with refused(Code.BAD_REQUEST, "Idempotency-Key is 1-128 printable"):
        reading.idempotency_key(keyed(value))


def test_the_header_is_refused_where_no_key_counts():
    with refused(Code.BAD_REQUEST, "Idempotency-Key does not count here; do so"):
        reading.refuse_key(keyed(b"a"), "do so")


def test_what_is_too_deep_to_be_read_is_refused_as_data_is():
    with refused(Code.INVALID_DATA, "64 deep"):
        reading.decode(b'{"data":' + b"[" * 100_000, _PUBLISH)


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
