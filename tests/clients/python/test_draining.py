"""Which rows of an outbox may leave, and what becomes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.draining import Row, in_order, settled
from openline.errors import OpenlineError, Unauthorized
from openline.types import Published

pytestmark = pytest.mark.clients


def row(number, channel="room:a"):
    return Row(number, channel, number, f"key-{number}")


@given(st.lists(st.sampled_from("abc"), max_size=12), st.sets(st.integers(0, 11)))
def test_nothing_overtakes_a_row_that_another_drain_has(channels, locked):
    rows = [row(number, channel) for number, channel in enumerate(channels)]
    leaving = in_order(rows, locked)
    assert {one.id for one in leaving} <= locked
    for channel in "abc":
        waiting = [one.id for one in rows if one.channel == channel]
        mine = [one.id for one in leaving if one.channel == channel]
        assert mine == waiting[: len(mine)]
        if len(mine) < len(waiting):
            assert waiting[len(mine)] not in locked


def test_what_is_refused_for_its_own_sake_fails_and_the_rest_waits():
    rows = [row(number) for number in range(5)]
    found = settled(
        rows,
        [
            Published("e", 1),
            OpenlineError("too long", code="too_large"),
            OpenlineError("away", code="unavailable", temporary=True),
            Unauthorized("wrong secret"),
            OpenlineError("no scope", code="forbidden"),
        ],
    )
    assert found.done == [0]
    assert found.failed == [(1, "too long (too_large)")]
    assert found.error.code == "forbidden"
