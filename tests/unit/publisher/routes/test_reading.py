"""Queries, forms and bodies become checked values, or a refusal that names what was wrong."""

from __future__ import annotations

import re

import msgspec
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.kernel.domain.codes import Code
from services.publisher.routes import bodies, reading
from tests.support.refusals import refused

_DISCONNECT = reading.decoder(bodies.Disconnect)


def request(query=b"", content_type=None, body=b"", **path):
    headers = [] if content_type is None else [(b"content-type", content_type)]

    async def receive():
        return {"type": "http.request", "body": body}

    scope = {"type": "http", "headers": headers, "query_string": query, "path_params": path}
    return Request(scope, receive)


def query(text):
    return reading.Query(request(text))


def test_a_field_of_the_query():
    assert query(b"a=1&b=%C3%BC+x").text("b") == "ü x"
    assert query(b"a=1").text("b") is None
    assert query(b"a=").text("a") == ""


def test_a_field_given_twice_is_refused():
    with refused(Code.BAD_REQUEST, "give a once"):
        query(b"a=1&a=1").text("a")


@pytest.mark.parametrize("text", [b"a=%C3%28", b"a=\xff", b"%FF=1"])
def test_what_is_no_utf8_is_refused(text):
    with refused(Code.BAD_REQUEST, "UTF-8"):
        query(text)


def test_fields_are_bounded():
    with refused(Code.BAD_REQUEST, "at most 100"):
        query(b"&".join(b"a%d=1" % n for n in range(101)))


@pytest.mark.parametrize(("text", "flag"), [(b"f=true", True), (b"f=1", True), (b"f=false", False), (b"f=0", False), (b"", None)])  # fmt: skip
def test_a_flag(text, flag):
    assert query(text).flag("f") is flag


@pytest.mark.parametrize("text", [b"f=", b"f=yes", b"f=True", b"f=2"])
def test_a_bad_flag(text):
    with refused(Code.BAD_REQUEST, "f is true or false"):
        query(text).flag("f")


@pytest.mark.parametrize(("text", "number"), [(b"n=5", 5), (b"n=5.0", 5), (b"n=05", 5), (b"", 3)])
def test_a_number(text, number):
    assert query(text).number("n", low=1, high=9, default=3) == number


@pytest.mark.parametrize(
    "value", ["0", "10", "-1", "", "x", "1.5", "1e0", "9" * 30, "٣", " 5", "5."]
)
def test_a_bad_number(value):
    with refused(Code.BAD_REQUEST, "from 1 to 9"):
        query(f"n={value}".encode()).number("n", low=1, high=9, default=3)


def test_text_of_a_form():
    pattern = re.compile(r"[a-z]+\Z")
    assert query(b"t=ab").matching("t", pattern, expected="letters") == "ab"
    assert query(b"").matching("t", pattern, expected="letters") is None
    with refused(Code.BAD_REQUEST, "t is letters"):
        query(b"t=a1").matching("t", pattern, expected="letters")


def test_repeated_fields_become_a_list():
    fields = [("a", "1"), ("b", "x"), ("a", "2"), ("a", "3")]
    assert reading.collected(fields) == {"a": ["1", "2", "3"], "b": "x"}


@pytest.mark.parametrize(
    ("header", "media_type"),
    [(None, ""), (b"Application/JSON; charset=utf-8", "application/json"), (b";", "")],
)
def test_a_media_type(header, media_type):
    assert reading.media_type(request(content_type=header)) == media_type


async def test_a_json_body():
    asked = request(content_type=b"application/json", body=b'{"code":4010}')
    assert (await reading.json(asked, _DISCONNECT)).code == 4010


async def test_another_body_is_415():
    with pytest.raises(HTTPException) as caught:
        await reading.json(request(content_type=b"text/plain"), _DISCONNECT)
    assert caught.value.status_code == 415
    assert "application/json" in caught.value.detail


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not as it should be"),
        (b'{"code":"x"}', r"`\$.code`"),
        (b'{"code":true}', r"`\$.code`"),
        (b'{"code":4100}', "from 4000 to 4099"),
        (b'{"code":4004.5}', r"`\$.code`"),
        (b'{"reason":"\xff"}', "not JSON"),
    ],
)
def test_a_bad_body(raw, reason):
    with refused(Code.BAD_REQUEST, reason):
        reading.decode(raw, _DISCONNECT)


def test_what_is_too_deep_to_be_read_is_refused_as_data_is():
    with refused(Code.INVALID_DATA, "64 deep"):
        reading.decode(b'{"x":' + b"[" * 100_000, _DISCONNECT)


def test_a_whole_number_may_be_written_as_a_float():
    assert reading.decode(b'{"code":4010.0}', _DISCONNECT).code == 4010


def test_a_field_is_named_when_it_is_wrong():
    text = msgspec.json.Decoder(str)
    assert reading.decode_field("title", b'"x"', text) == "x"
    with refused(Code.BAD_REQUEST, "title: "):
        reading.decode_field("title", b"1", text)


def test_a_subject_in_the_path():
    assert reading.subject(request(user="bob|1"), "user") == "bob|1"
    for user in ("", "a/b", "x" * 129, "é"):
        with refused(Code.BAD_REQUEST, "user is 1-128"):
            reading.subject(request(user=user), "user")
