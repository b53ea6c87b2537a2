"""What a partition's home says, also of one that is on its way."""

from __future__ import annotations

import pytest
from redis.exceptions import MovedError

from services.kernel.broker.redis.homes import ElsewhereError, Home, State, check_state, of_reply


def test_a_reply_is_read_as_a_home():
    assert of_reply([b"f", b"4", None]) == Home("f", 4)
    assert of_reply([b"f", b"4", b"moved"]) == Home("f", 4, State.MOVED)
    assert of_reply([None, None, None]) is None
    assert of_reply(MovedError("1 h:1")) is None


def test_a_partition_that_is_elsewhere_is_refused_with_what_to_do():
    check_state(3, Home("f", 4))
    with pytest.raises(ElsewhereError, match="partition 3 has moved to another server: put"):
        check_state(3, Home("f", 4, State.MOVED))
    with pytest.raises(
        ElsewhereError, match="partition 3 has not arrived at its new server: finish"
    ):
        check_state(3, Home("f", 4, State.ARRIVING))
