"""Faults are chosen by the seed alone, each kind in its turn."""

from __future__ import annotations

from itertools import pairwise

from loadtest.chaos.schedule import KINDS, LONGEST, LOSING, schedule


def test_a_seed_gives_the_same_schedule_and_another_one_another() -> None:
    assert schedule(1, 600) == schedule(1, 600)
    assert schedule(1, 600) != schedule(2, 600)


def test_each_kind_comes_once_before_any_comes_again() -> None:
    faults = schedule(3, 600)
    turns = [faults[n : n + len(KINDS)] for n in range(0, len(faults), len(KINDS))]
    assert len(turns) > 3
    for turn in turns[:-1]:
        assert sorted(fault.kind for fault in turn) == sorted(KINDS)


def test_faults_lie_in_their_time_at_their_distance() -> None:
    faults = schedule(4, 120, kinds=["gateway-kill", "redis-stall"], gateways=3, every=10)
    assert faults[0].at == 3
    assert faults[-1].at < 120
    for before, fault in pairwise(faults):
        assert 6.9 < fault.at - before.at < 13.1
    assert {fault.gateway for fault in faults} <= {1, 2, 3}
    assert all(0 < fault.lasts <= LONGEST for fault in faults)
    assert {fault.kind for fault in faults} == {"gateway-kill", "redis-stall"}


def test_what_may_lose_is_one_of_the_kinds() -> None:
    assert set(KINDS) >= LOSING
