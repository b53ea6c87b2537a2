"""A body is read within its limit, and becomes a model or a refusal that names the field and the rule."""

from __future__ import annotations

import pytest
from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from services.kernel.domain.codes import Code
from services.kernel.http import bodies
from tests.support.refusals import refused


class Call(BaseModel):
    model_config = ConfigDict(strict=True)

    code: bodies.Whole = Field(4004, ge=4000, le=4099)
    reason: str = ""


def request(content_type=None, *parts):
    headers = [] if content_type is None else [(b"content-type", content_type)]
    left = list(parts)

    async def receive():
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": parts[-1:] != (b"",)}

    return Request({"type": "http", "headers": headers}, receive)


@pytest.mark.parametrize(
    ("header", "media_type"),
    [(None, ""), (b"Application/JSON; charset=utf-8", "application/json"), (b";", "")],
)
def test_a_media_type(header, media_type):
    assert bodies.media_type(request(header)) == media_type


@pytest.mark.parametrize("number", ["4010", "4010.0"])
def test_a_whole_number_may_be_written_as_a_float(number):
    assert bodies.validated(b'{"code":%s}' % number.encode(), Call).code == 4010


def test_unknown_fields_are_ignored_where_the_model_ignores_them():
    assert bodies.validated(b'{"x":[1]}', Call) == Call()


def test_a_misspelt_member_is_refused_naming_the_nearest_also_where_another_is_missing():
    class Strict(Call):
        model_config = ConfigDict(extra="forbid")

        user: str

    with refused(Code.BAD_REQUEST, "no member 'usr' here; the nearest is 'user'"):
        bodies.validated(b'{"usr":"a","cod":1}', Strict)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"x":NaN}', "not JSON"),
        (b'{"reason":"\xff"}', "not JSON"),
        (b"[]", "`object`, got `array`"),
        (b'{"code":"4004"}', "code: .*integer"),
        (b'{"code":true}', "code: .*integer"),
        (b'{"code":null}', "code: .*integer"),
        (b'{"code":4004.5}', "code: .*integer"),
        (b'{"code":4100}', "code: .*4099"),
        (b'{"reason":1}', "reason: .*string"),
        (b'{"x":' + b"[" * 100_000, "too deep"),
    ],
)
def test_a_bad_body_is_named(raw, reason):
    with refused(Code.BAD_REQUEST, reason):
        bodies.validated(raw, Call)


async def test_another_media_type_is_415():
    with pytest.raises(HTTPException) as caught:
        await bodies.json(request(b"text/plain"), Call, limit=10)
    assert caught.value.status_code == 415
    assert "application/json" in caught.value.detail


async def test_a_body_that_grows_past_its_limit_is_refused_before_its_end():
    with refused(Code.TOO_LARGE, "at most 10 bytes"):
        await bodies.read(request(None, b"x" * 6, b"x" * 6), limit=10)


async def test_a_body_that_is_cut_off_is_refused():
    with refused(Code.BAD_REQUEST, "ended too soon"):
        await bodies.read(request(None, b"x"), limit=10)
