"""What is done about MOVED, ASK and TRYAGAIN: where to, when again, and which scripts may not begin."""

from __future__ import annotations

import pytest
from redis.exceptions import AskError, MovedError, TryAgainError

from services.kernel.redis.redirects import PATIENCE, Guard, Waits, target
from services.kernel.redis.store_url import Address


@pytest.mark.parametrize(
    ("error", "to"),
    [
        (MovedError("3999 127.0.0.1:6381"), Address("127.0.0.1", 6381)),
        (MovedError("3999 fe80::1:6381"), Address("fe80::1", 6381)),
        (MovedError("3999 :6381"), None),
        (MovedError("3999 ?:6381"), None),
        (AskError("3999 127.0.0.1:6381"), None),
        (TryAgainError("Multiple keys request during rehashing of slot"), None),
    ],
)
def test_only_moved_names_where_to_go(error, to):
    assert target(error) == to


def test_moved_is_followed_at_once_and_then_less_and_less_often():
    waits = Waits(10.0)
    assert [waits.pause(10.0, moved=True) for _ in range(7)] == [
        0.0,
        0.02,
        0.04,
        0.08,
        0.16,
        0.32,
        0.5,
    ]


def test_a_slot_on_the_move_is_waited_for_and_then_given_up():
    waits, now = Waits(0.0), 0.0
    while (pause := waits.pause(now, moved=False)) is not None:
        assert 0.02 <= pause <= 0.5
        now += pause
    assert PATIENCE - 0.5 < now <= PATIENCE


def test_the_guard_stands_behind_the_keys_of_scripts_that_reach_further():
    guard = Guard("g", frozenset({b"sha"}))
    assert guard.cover((b"EVALSHA", b"sha", 2, "k1", "k2", "a")) == (
        *(b"EVALSHA", b"sha", 3, "k1", "k2", "g", "a"),
    )
    for parts in ((b"EVALSHA", b"other", 1, "k", "a"), ("GET", "sha")):
        assert guard.cover(parts) == parts
