"""What one that is behind is given: checked against a model that keeps every publication."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.fanout.lag import MAX_BYTES, MAX_KEYS, Lag
from services.gateway.fanout.lag_budget import LagBudget
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

AMPLE = 1 << 30


def publication(offset, key=None, data=b"1"):
    meta = b'"ts":1' if key is None else b'"conflate_key":"%b","ts":1' % key.encode()
    return Publication(epoch="e", offset=offset, data=data, meta=meta)


def behind(budget=None):
    return Lag(Position("e", 0), budget or LagBudget(AMPLE))


def taken(lag):
    given_now = []
    while lag:
        given_now += lag.take()
    return [(one.offset, skipped) for one, skipped in given_now]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["publish", "publish", "publish", "own", "drain"]),
            st.sampled_from([None, "a", "b", "c", "d"]),
        ),
        max_size=40,
    ),
    st.sampled_from([1, 40_000]),
)
def test_a_reader_sees_the_newest_of_each_key_once_in_order_and_each_place_is_accounted_for(
    steps, size
):
    budget = LagBudget(AMPLE)
    lag = behind(budget)
    latest: dict[str | None, int] = {}
    own, seen, sent = set(), set(), 0
    for offset, (step, key) in enumerate(steps, 1):
        one = publication(offset, key, b"x" * size)
        if step == "own":
            lag.acked(one)
            own.add(offset)
            latest.pop(key, None)
        else:
            lag.keep(one)
            latest[key] = offset
        if step == "drain" or offset == len(steps):
            expected = sorted(latest.values())
            pieces = lag.take() if step == "drain" else []
            while offset == len(steps) and lag:
                pieces += lag.take()
            assert [piece.offset for piece, _ in pieces] == expected[: len(pieces)]
            for piece, skipped in pieces:
                between = set(range(sent + 1, piece.offset))
                assert skipped == len(between - own)
                assert not between & seen
                seen.add(piece.offset)
                sent = piece.offset
                latest = {key: at for key, at in latest.items() if at != piece.offset}
    rest = set(range(sent + 1, len(steps) + 1))
    assert lag.missed(len(steps)) == len(rest - own)
    if len(lag) == 0:
        assert budget.held == 0


def test_pieces_are_as_large_as_a_connection_buffers():
    lag = behind()
    for offset, key in enumerate("abcd", 1):
        lag.keep(publication(offset, key, b"x" * 40_000))
    assert [one.offset for one, _ in lag.take()] == [1, 2]
    lag.keep(publication(5, "c"))
    assert taken(lag) == [(4, 1), (5, 0)]


def test_it_says_whether_a_publication_superseded_one_of_its_key():
    lag = behind()
    superseded = [lag.keep(publication(at, key)) for at, key in enumerate(["a", None, None, "a"])]
    assert superseded == [False, False, False, True]


def too_many_keys(lag):
    for offset in range(1, MAX_KEYS + 2):
        assert len(lag) == offset - 1
        lag.keep(publication(offset, str(offset)))


def too_many_bytes(lag):
    lag.keep(publication(1, "a", b"x" * (MAX_BYTES // 2)))
    lag.keep(publication(2, "a", b"x" * (MAX_BYTES // 2)))
    assert len(lag) == 1, "what was superseded counts no more"
    lag.keep(publication(3, "b", b"x" * (MAX_BYTES // 2)))


@pytest.mark.parametrize("exceed", [too_many_keys, too_many_bytes])
def test_beyond_its_bounds_it_keeps_nothing_and_gives_the_room_back(exceed):
    budget = LagBudget(AMPLE)
    lag = behind(budget)
    exceed(lag)
    assert not lag.keep(publication(5000, "a"))
    assert (len(lag), budget.held) == (0, 0)
    assert lag.missed(5000) == 5000


def test_what_does_not_fit_into_the_gateways_room_costs_its_reader_the_keys_and_no_other():
    budget = LagBudget(1500)
    others, lag = behind(budget), behind(budget)
    others.keep(publication(1, "a"))
    lag.keep(publication(1, "a"))
    held = budget.held
    lag.keep(publication(2, "b", b"x" * 500))
    assert (len(lag), len(others)) == (0, 1)
    assert budget.held == held // 2


def test_an_own_ephemeral_publication_has_no_place():
    lag = behind()
    lag.acked(publication(0))
    lag.keep(publication(1))
    assert taken(lag) == [(1, 0)]


def test_a_reader_that_is_never_level_costs_no_more_for_each_publication_of_its_own():
    lag = behind()
    for offset in range(1, 1001, 2):
        lag.acked(publication(offset))
        lag.keep(publication(offset + 1, "a"))
        assert taken(lag) == [(offset + 1, 0)]
    assert lag._acked == []


def test_what_is_cleared_takes_no_room():
    budget = LagBudget(AMPLE)
    lag = behind(budget)
    for offset, key in enumerate("abc", 1):
        lag.keep(publication(offset, key))
    lag.clear()
    assert (len(lag), budget.held) == (0, 0)
