"""Fields of acks and errors."""

from __future__ import annotations

import pytest

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.protocol import replies
from services.kernel.protocol.replies import Replies


def test_an_answer_carries_the_commands_id_only_if_it_had_one():
    assert replies.with_id(0, {"a": 1}) == {"id": 0, "a": 1}
    assert replies.with_id("", {}) == {"id": ""}
    assert replies.with_id(None, {"a": 1}) == {"a": 1}


def test_an_error_says_code_message_and_whether_it_passes():
    assert replies.error_fields(OpenlineError(Code.FORBIDDEN, "no")) == {
        "code": "forbidden",
        "message": "no",
        "temporary": False,
    }


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 0.0), (0.0101, 0.011), (1.5, 1.5), (2, 2.0)])
def test_who_waits_as_long_as_told_has_waited_long_enough(seconds, told):
    fields = replies.error_fields(OpenlineError(Code.RATE_LIMITED, "slow", retry_after=seconds))
    assert fields["temporary"] is True
    assert fields["retry_after"] == told


class Read:
    """Spells out what it was asked for."""

    def read(self, data):
        return "wire", data

    def command(self, wire):
        return "command", wire

    def id(self, data):
        return "id", data


class Shown(Replies):
    decoding = Read()

    def array(self, publications):
        return list(publications)

    def event(self, type, fields):
        return f"{type} {fields}".encode()


def test_replies_are_events_that_name_their_command():
    assert Shown().ack(1, {"a": 2}) == b"ack {'id': 1, 'a': 2}"
    assert Shown().pong(None) == b"pong {}"
    assert (
        Shown()
        .error("x", OpenlineError(Code.CONFLICT, "no"))
        .startswith(b"error {'id': 'x', 'code': 'conflict'")
    )


def test_a_page_of_history_is_an_ack_with_the_codecs_array():
    page = Shown().history(1, "room:a", ["x"], epoch="e", offset=3, more=True)
    assert page == (
        b"ack {'id': 1, 'channel': 'room:a', 'messages': ['x'],"
        b" 'epoch': 'e', 'offset': 3, 'more': True}"
    )


def test_what_comes_in_is_read_in_the_codecs_encoding():
    codec = Shown()
    assert codec.command(codec.read(b"frame")) == ("command", ("wire", b"frame"))
    assert codec.id(b"frame") == ("id", b"frame")


def test_how_events_are_spelled_is_for_each_codec_to_say():
    with pytest.raises(TypeError, match="abstract"):
        Replies()
