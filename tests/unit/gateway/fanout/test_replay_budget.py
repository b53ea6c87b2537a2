"""Large replays that were not read yet, over all connections."""

from __future__ import annotations

from services.gateway.fanout.replay_budget import PATIENCE, ReplayBudget


def test_together_they_are_bounded():
    replay_budget = ReplayBudget(100)
    assert replay_budget.admit(60)
    replay_budget.hold("a", 60, 0)
    assert replay_budget.admit(40)
    assert not replay_budget.admit(41)
    replay_budget.hold("b", 40, 1)
    replay_budget.hold("a", 5, 2)
    assert not replay_budget.admit(1)
    replay_budget.release("a")
    assert replay_budget.admit(60)
    assert not replay_budget.admit(61)


def test_one_alone_may_be_larger():
    replay_budget = ReplayBudget(100)
    assert replay_budget.admit(1000)
    replay_budget.hold("a", 1000, 0)
    assert not replay_budget.admit(1)
    replay_budget.release("a")
    replay_budget.release("a")
    assert replay_budget.admit(1000)


def test_who_does_not_read_for_long_is_overdue():
    replay_budget = ReplayBudget(100)
    replay_budget.hold("a", 10, 0)
    replay_budget.hold("b", 10, 5)
    replay_budget.hold("a", 10, 50)
    assert replay_budget.overdue(PATIENCE - 1) == []
    assert replay_budget.overdue(PATIENCE) == ["a"]
    assert replay_budget.overdue(PATIENCE + 5) == ["a", "b"]
