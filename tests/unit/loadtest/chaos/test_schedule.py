"""Faults are chosen by the seed alone, each kind as often as any other, and calm comes last."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from loadtest.chaos.schedule import CALM, Kind, schedule

KINDS = [
    Kind("kill", ("gateway-1", "gateway-2", "gateway-3")),
    Kind("cut"),
    Kind("pause", lasts=(0.1, 20.0)),
]


def test_a_seed_gives_the_same_schedule_and_another_one_another() -> None:
    assert schedule(1, 600, kinds=KINDS) == schedule(1, 600, kinds=KINDS)
    assert schedule(1, 600, kinds=KINDS) != schedule(2, 600, kinds=KINDS)


def test_each_kind_comes_as_often_as_any_other() -> None:
    faults = schedule(3, 600, kinds=KINDS)
    turns = [{fault.kind for fault in faults[n : n + 3]} for n in range(0, len(faults), 3)]
    assert len(turns) > 3
    assert all(turn == {"kill", "cut", "pause"} for turn in turns)
    assert len(set(Counter(fault.kind for fault in faults).values())) == 1


def test_faults_lie_one_behind_another_and_the_end_is_calm() -> None:
    faults = schedule(4, 300, kinds=KINDS, every=10)
    assert faults[0].at == 3
    assert faults[-1].at + faults[-1].lasts < 300 - CALM
    for before, fault in pairwise(faults):
        assert 6.9 < fault.at - before.at - before.lasts < 13.1


def test_a_short_run_has_a_quarter_of_calm_and_what_fits_of_one_round() -> None:
    faults = schedule(5, 16, kinds=[Kind(name) for name in "abcd"])
    assert len({fault.kind for fault in faults}) == len(faults) in (2, 3)
    assert faults[-1].at < 12


def test_what_is_hit_and_for_how_long_is_of_the_kind() -> None:
    faults = schedule(6, 3600, kinds=KINDS)
    of = {kind.name: [fault for fault in faults if fault.kind == kind.name] for kind in KINDS}
    assert {fault.target for fault in of["kill"]} == {"gateway-1", "gateway-2", "gateway-3"}
    assert {(fault.target, fault.lasts) for fault in of["cut"]} == {("", 0.0)}
    assert all(0.1 <= fault.lasts <= 20 for fault in of["pause"])
    assert max(fault.lasts for fault in of["pause"]) > 10
