"""Pages of a log: which continue from a position, and which are what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.hub.pages import continues_from, is_consistent
from tests.support.recording_audience import looked, publication


@pytest.mark.parametrize(("offset", "answer"), [(2, False), (3, True), (4, True)])
def test_a_page_continues_from_its_start_and_from_above(offset, answer):
    assert continues_from(looked(9, bus=1, start=3), offset) is answer


def test_a_contiguous_page_up_to_the_head_is_sound():
    assert is_consistent(looked(9, bus=1, start=3))
    assert is_consistent(looked(9, bus=1, start=3, end=5))
    assert is_consistent(looked(9, bus=1))


@pytest.mark.parametrize(
    "page",
    [
        (publication(5), publication(6)),
        (publication(4), publication(6)),
        (publication(4, "F"),),
        tuple(publication(offset) for offset in range(4, 11)),
    ],
    ids=["starts late", "has a hole", "of another epoch", "beyond the head"],
)
def test_a_page_that_is_not_what_it_says_is_not_sound(page):
    assert not is_consistent(replace(looked(9, bus=1, start=3, end=3), publications=page))


def test_a_page_may_hold_what_is_older_than_its_epoch():
    page = (publication(4, "D"), publication(5, "E"))
    reply = looked(5, bus=1, start=3, end=3, began=4)
    assert is_consistent(replace(reply, publications=page))
    assert not is_consistent(replace(reply, began=3, publications=page))
