"""Checked input becomes a draft: envelope fields, scoped keys, the namespace's size and history."""

from __future__ import annotations

import json

import pytest

from services.kernel.broker.drafts import check_size, check_written, compose
from services.kernel.domain.codes import Code
from services.kernel.domain.namespaces import Namespace
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind
from tests.support.refusals import refused

ROOM = Namespace(name="room", history_size=7, history_bytes=9, history_ttl=8, message_bytes=4)


def meta(**options):
    draft = compose(ROOM, "room:a", data=b"1", ts_ms=5, **options)
    return json.loads(b"{" + draft.meta + b"}")


def test_over_http_there_is_no_from():
    assert meta(http=True) == {"ts": 5}


def test_a_sender_is_named():
    assert meta(sender="bob") == {"from": "bob", "ts": 5}


def test_an_anonymous_sender_is_null():
    assert meta() == {"from": None, "ts": 5}


def test_key_and_tags_are_shown_as_they_were_given():
    got = meta(http=True, subject="client:x", key='k"\n', tags={"a": "ü"})
    assert got == {"ts": 5, "key": 'k"\n', "tags": {"a": "ü"}}


@pytest.mark.parametrize(
    "more", [{"http": True}, {"sender": "bob", "key": "k", "tags": {"a": "b"}}]
)
def test_a_conflate_key_stands_first_where_gateways_look_for_it(more):
    assert next(iter(meta(conflate_key="EURUSD", **more).items())) == ("conflate_key", "EURUSD")


def test_empty_tags_are_left_out():
    assert meta(http=True, tags={}) == {"ts": 5}


def test_a_key_belongs_to_its_subject():
    def key(subject, key):
        return compose(ROOM, "room:a", data=b"1", ts_ms=5, subject=subject, key=key).key

    assert key("bob", "1") != key("eve", "1")
    assert key("bob", None) is None


def test_the_rest_is_carried_over():
    expect = Position("e", 3)
    draft = compose(
        ROOM,
        "room:a",
        data=b"\x00",
        kind=Kind.BINARY,
        ts_ms=5,
        ephemeral=True,
        expect=expect,
        token="c.1",
    )
    assert (draft.channel, draft.data, draft.kind) == ("room:a", b"\x00", Kind.BINARY)
    assert (draft.ephemeral, draft.expect, draft.token) == (True, expect, "c.1")
    assert (draft.history_size, draft.history_bytes, draft.history_ttl) == (7, 9, 8)


def test_a_message_beyond_the_limit_is_too_large():
    check_size(ROOM, 4)
    with refused(Code.TOO_LARGE, "the data has 5 bytes; a message in room: has at most 4"):
        check_size(ROOM, 5)


def test_what_is_written_may_be_twice_as_large_as_what_is_stored():
    check_written(ROOM, 2 * ROOM.message_bytes)
    with refused(Code.TOO_LARGE, "has 9 bytes; a message in room: has at most 4"):
        check_written(ROOM, 2 * ROOM.message_bytes + 1)
