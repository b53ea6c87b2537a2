"""How frames are written and read."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openline import protocol
from openline.errors import InvalidData, OpenlineError
from openline.types import Member, Message, PresencePage, Published

pytestmark = pytest.mark.clients

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("name", ["json", "msgpack"])
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=values)
def test_what_is_written_is_read(name, data):
    codec = protocol.codec(name)
    frame = {"type": "publish", "data": data}
    assert codec.decode(codec.encode(frame)) == frame


def test_messagepack_holds_bytes_and_json_says_so():
    codec = protocol.codec("msgpack")
    assert codec.decode(codec.encode({"type": "a", "data": b"\xff"}))["data"] == b"\xff"
    with pytest.raises(InvalidData, match='codec="msgpack"'):
        protocol.codec("json").encode({"type": "a", "data": b"\xff"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_does_not_know_is_refused(value):
    with pytest.raises(InvalidData):
        protocol.codec("json").encode({"type": "a", "data": value})


@pytest.mark.parametrize("value", [object(), 2**70])
def test_what_messagepack_does_not_know_is_refused(value):
    with pytest.raises(InvalidData):
        protocol.codec("msgpack").encode({"type": "a", "data": value})


def test_data_that_goes_in_a_circle_is_refused():
    circle = []
    circle.append(circle)
    with pytest.raises(InvalidData):
        protocol.codec("json").encode({"type": "a", "data": circle})


@pytest.mark.parametrize("text", ["", "[]", "7", '{"a":1}', '{"type":7}', "{"])
def test_what_is_no_frame_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of either kind
        protocol.codec("json").decode(text)


def test_msgspec_takes_ormsgpacks_place(monkeypatch):
    monkeypatch.setitem(sys.modules, "ormsgpack", None)
    codec = protocol.codec("msgpack")
    assert codec.decode(codec.encode({"type": "a", "data": b"x"}))["data"] == b"x"


def test_without_a_package_messagepack_names_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "ormsgpack", None)
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(OpenlineError, match="pip install ormsgpack"):
        protocol.codec("msgpack")


def test_an_unknown_codec_is_refused():
    with pytest.raises(OpenlineError, match="xml"):
        protocol.codec("xml")


def test_a_message_has_all_that_came():
    frame = {
        "type": "message",
        "channel": "room:a",
        "data": "AP8=",
        "encoding": "base64",
        "offset": 3,
        "from": "ada",
        "ts": 9,
        "key": "k",
        "tags": {"a": "b"},
        "skipped": 2,
        "conflate_key": "c",
    }
    assert protocol.message(frame, "room:a", recovered=True) == Message(
        "room:a", b"\x00\xff", 3, "ada", 9, "k", {"a": "b"}, 2, recovered=True, conflate_key="c"
    )


def test_an_ephemeral_message_of_a_back_end_has_the_least():
    assert protocol.message({"data": 1, "ts": 9}, "room:a") == Message("room:a", 1, ts=9)


def test_base64_that_is_none_is_a_value_error():
    with pytest.raises(ValueError, match="base64"):
        protocol.message({"data": "%%", "encoding": "base64", "ts": 1}, "room:a")


def test_an_ephemeral_publish_has_no_place():
    published = protocol.published({"duplicate": False}, "room:a")
    assert published == Published(None, None, channel="room:a")
    assert published.position is None


def test_an_error_has_its_code_and_wait():
    error = protocol.error(
        {"code": "rate_limited", "message": "m", "temporary": True, "retry_after": 2}
    )
    assert (error.code, error.temporary, error.retry_after) == ("rate_limited", True, 2.0)
    assert protocol.error({}).code == "internal"


def test_a_page_of_members():
    frame = {
        "members": [{"user": None, "connection": "c", "since": 4}],
        "count": 1,
        "users": 1,
    }
    assert protocol.presence(frame) == PresencePage([Member(None, "c", None, 4)], 1, 1, None)
