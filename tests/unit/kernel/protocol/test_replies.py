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


class Shown(Replies):
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


def test_how_events_are_spelled_is_for_each_codec_to_say():
    with pytest.raises(NotImplementedError):
        Replies().pong(1)
