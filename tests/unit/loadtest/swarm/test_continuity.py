"""Gaps and repeats by offset, compared with a model that keeps every offset."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadtest.swarm.chunks import Run
from loadtest.swarm.continuity import NONE, Continuity, Fault, Position

AT_4 = Position("e", 4)


def joined(position: Position = AT_4) -> Continuity:
    made = Continuity()
    assert made.joined("room:a", position) == NONE
    return made


def test_what_follows_is_no_fault() -> None:
    continuity = joined()
    assert continuity.take(Run("room:a", 5, 3)) == NONE
    assert continuity.take(Run("room:a", 8, 1)) == NONE
    assert continuity.at("room:a") == Position("e", 8)


def test_a_hole_is_counted_once() -> None:
    continuity = joined()
    assert continuity.take(Run("room:a", 8, 2)) == Fault(missing=3)
    assert continuity.take(Run("room:a", 10, 1)) == NONE


def test_what_comes_twice_is_counted_and_moves_nothing() -> None:
    continuity = joined()
    assert continuity.take(Run("room:a", 3, 4)) == Fault(repeated=2)
    assert continuity.take(Run("room:a", 1, 2)) == Fault(repeated=2)
    assert continuity.at("room:a") == Position("e", 6)


def test_what_the_server_says_it_skipped_is_no_gap() -> None:
    continuity = joined()
    assert continuity.take(Run("room:a", 8, 1, 3)) == NONE
    assert continuity.take(Run("room:a", 12, 1, 1)) == Fault(missing=2)


def test_a_channel_that_nobody_joined_begins_with_its_first() -> None:
    continuity = Continuity()
    assert continuity.take(Run("room:a", 70, 2)) == NONE
    assert continuity.take(Run("room:a", 73, 1)) == Fault(missing=1)


def test_a_recovery_goes_on_from_where_we_are() -> None:
    assert joined().joined("room:a", AT_4, recovered=True) == NONE
    assert joined().joined("room:a", Position("e", 6), recovered=True) == Fault(missing=2)
    assert joined().joined("room:a", Position("e", 1), recovered=True) == Fault(repeated=3)
    assert joined().joined("room:a", Position("f", 4), recovered=True) == Fault(missing=1)


def test_what_the_server_says_is_lost_is_no_gap() -> None:
    continuity = joined()
    assert continuity.joined("room:a", Position("f", 90), recovered=False) == NONE
    assert continuity.take(Run("room:a", 91, 1)) == NONE
    continuity.reset("room:a", Position("g", 200))
    assert continuity.take(Run("room:a", 201, 1)) == NONE


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 5)), max_size=30))
def test_faults_are_what_a_model_finds_that_keeps_every_offset(runs: list[tuple[int, int]]) -> None:
    continuity = joined(Position("e", 0))
    highest, missing, repeated = 0, 0, 0
    for first, length in runs:
        for offset in range(first, first + length):
            if offset <= highest:
                repeated += 1
            else:
                missing += offset - highest - 1
                highest = offset
    found = [continuity.take(Run("room:a", first, length)) for first, length in runs]
    assert sum(fault.missing for fault in found) == missing
    assert sum(fault.repeated for fault in found) == repeated
