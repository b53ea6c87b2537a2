"""Fields of queries become values, or a refusal in words that help."""

from __future__ import annotations

import pytest

from services.kernel.domain.codes import Code
from services.publisher.routes.models import ChannelsQuery, HistoryQuery, PublishQuery
from tests.support.refusals import refused


@pytest.mark.parametrize(
    ("text", "flag"), [("true", True), ("1", True), ("false", False), ("0", False)]
)
def test_a_flag(text, flag):
    assert HistoryQuery.model_validate({"reverse": text}).reverse is flag
    assert PublishQuery.model_validate({"ephemeral": text}).ephemeral is flag


@pytest.mark.parametrize("text", ["", "yes", "True", "2", " 1"])
def test_a_bad_flag(text):
    with refused(Code.BAD_REQUEST, "reverse is true or false"):
        HistoryQuery.model_validate({"reverse": text})


@pytest.mark.parametrize(("text", "number"), [("5", 5), ("5.0", 5), ("05", 5), ("500", 500)])
def test_a_limit(text, number):
    assert HistoryQuery.model_validate({"limit": text}).limit == number


@pytest.mark.parametrize(
    "text", ["0", "501", "-1", "", "x", "1.5", "1e0", "9" * 30, "٣", " 5", "5.", "1_0", "+1"]
)
def test_a_bad_limit(text):
    with refused(Code.BAD_REQUEST, "limit is a whole number from 1 to 500"):
        HistoryQuery.model_validate({"limit": text})


def test_text_of_a_form():
    assert ChannelsQuery.model_validate({"prefix": "room:a"}).prefix == "room:a"
    with refused(Code.BAD_REQUEST, "prefix is up to 233"):
        ChannelsQuery.model_validate({"prefix": "a b"})
    with refused(Code.BAD_REQUEST, "key is 1-128"):
        PublishQuery.model_validate({"key": "a\nb"})


def test_what_is_not_given():
    assert (HistoryQuery().limit, HistoryQuery().reverse) == (100, False)
    assert (PublishQuery().key, PublishQuery().ephemeral) == (None, False)
