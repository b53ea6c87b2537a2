"""Where a channel stands after each frame: rules R1 and R2, and what an ack of a publish without echo does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openline.positions import Place, Verdict
from openline.types import Position

pytestmark = pytest.mark.clients


def ack(offset, epoch="a", **fields):
    return {"epoch": epoch, "offset": offset, **fields}


def test_the_first_ack_is_where_it_begins():
    place = Place()
    start = place.start(ack(41))
    assert (start.position, start.lost, start.recovered) == (Position("a", 41), None, False)


def test_nothing_is_known_before():
    assert Place().position is None


def test_a_message_that_was_delivered_is_dropped():
    place = Place(Position("a", 5))
    assert place.message(5) is Verdict.DROP
    assert place.position == Position("a", 5)


def test_the_next_message_is_delivered():
    place = Place(Position("a", 5))
    assert place.message(6) is Verdict.DELIVER
    assert place.position == Position("a", 6)


def test_skipped_ones_are_no_gap():
    place = Place(Position("a", 5))
    assert place.message(9, skipped=3) is Verdict.DELIVER


def test_a_hole_that_nobody_explains_is_a_gap():
    place = Place(Position("a", 5))
    assert place.message(9, skipped=2) is Verdict.GAP
    assert place.position == Position("a", 9)


def test_recovered_goes_on_where_we_are_even_when_the_answer_is_older():
    place = Place(Position("a", 7))
    start = place.start(ack(5, recovered=True))
    assert (start.position, start.recovered, start.lost) == (Position("a", 7), True, None)
    assert place.message(6) is Verdict.DROP


def test_not_recovered_is_a_loss_that_names_where_the_epoch_began():
    start = Place(Position("a", 7)).start(ack(20, "b", recovered=False, began=9))
    assert start.lost is not None
    assert (start.position, start.began) == (Position("b", 20), 9)


def test_an_answer_without_a_word_on_recovery_is_a_loss_unless_nothing_has_happened():
    assert Place(Position("a", 7)).start(ack(7)).lost is None
    assert Place(Position("a", 7)).start(ack(8)).lost is not None
    assert Place(Position("a", 7)).start(ack(7, "b")).lost is not None


def test_a_reset_moves_even_back():
    place = Place(Position("a", 7))
    assert place.reset(ack(3, "b", began=3)) == Position("b", 3)
    assert place.message(4) is Verdict.DELIVER


def test_the_ack_of_a_publish_without_echo_takes_the_next_place():
    place = Place(Position("a", 5))
    assert place.own("a", 6)
    assert place.message(7) is Verdict.DELIVER


def test_an_early_ack_waits_for_what_comes_before():
    place = Place(Position("a", 5))
    assert not place.own("a", 7)
    assert place.message(6) is Verdict.DELIVER
    assert place.position == Position("a", 7)
    assert place.message(7) is Verdict.DROP
    assert place.message(8) is Verdict.DELIVER


def test_an_early_ack_between_skipped_ones_is_no_gap():
    place = Place(Position("a", 5))
    place.own("a", 7)
    assert place.message(10, skipped=3) is Verdict.DELIVER


@pytest.mark.parametrize(("epoch", "offset"), [("b", 6), ("a", 5), ("a", 2)])
def test_an_ack_of_another_epoch_or_of_long_ago_moves_nothing(epoch, offset):
    place = Place(Position("a", 5))
    assert not place.own(epoch, offset)
    assert place.position == Position("a", 5)


def test_what_was_own_in_an_old_epoch_is_forgotten():
    place = Place(Position("a", 5))
    place.own("a", 9)
    place.reset(ack(8, "b"))
    assert place.position == Position("b", 8)


def test_recovered_in_a_place_that_is_not_known_begins_where_the_server_says():
    assert Place().start(ack(5, recovered=True)).position == Position("a", 5)


def test_before_anything_is_known_each_message_is_delivered():
    place = Place()
    assert [place.message(n) for n in (9, 3)] == [Verdict.DELIVER, Verdict.DELIVER]
    assert place.position is None


def test_a_position_of_somebody_else_is_forgotten_and_what_was_before_is_void():
    place = Place(Position("a", 5))
    place.forget("the user has changed")
    assert place.position is None
    start = place.start(ack(90, recovered=True))
    assert (start.lost, start.recovered) == ("the user has changed", False)
    assert place.start(ack(90, recovered=True)).lost is None


def test_forgetting_nothing_voids_nothing():
    place = Place()
    place.forget("the user has changed")
    assert place.start(ack(90)).lost is None


frames = st.one_of(
    st.tuples(st.just("message"), st.integers(1, 30), st.integers(0, 5)),
    st.tuples(st.just("own"), st.integers(1, 30), st.just(0)),
    st.tuples(st.just("recovered"), st.integers(0, 30), st.just(0)),
)


@settings(deadline=None)
@given(st.lists(frames, max_size=60))
def test_within_an_epoch_no_position_goes_back_and_no_offset_is_delivered_twice(given_frames):
    place = Place(Position("a", 0))
    delivered = []
    for kind, offset, skipped in given_frames:
        before = place.offset
        if kind == "message" and place.message(offset, skipped) is not Verdict.DROP:
            delivered.append(offset)
        elif kind == "own":
            place.own("a", offset)
        elif kind == "recovered":
            place.start(ack(offset, recovered=True))
        assert place.offset >= before
    assert delivered == sorted(set(delivered))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["message", "own"]), min_size=1, max_size=40), st.randoms())
def test_messages_in_order_with_acks_at_any_time_show_no_gap(kinds, random):
    """Acks of our own may come early, never late: as the server sends them."""
    place = Place(Position("a", 0))
    early = [n for n, kind in enumerate(kinds, 1) if kind == "own"]
    sent = set()
    for number, kind in enumerate(kinds, 1):
        for own in [n for n in early if n not in sent and (n == number or random.random() < 0.2)]:
            sent.add(own)
            place.own("a", own)
        if kind == "message":
            assert place.message(number) is Verdict.DELIVER
    assert place.position == Position("a", len(kinds))
