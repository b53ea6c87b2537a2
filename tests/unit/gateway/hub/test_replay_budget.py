"""What is held for clients that recover, over all connections."""

from __future__ import annotations

from services.gateway.hub.replay_budget import LARGE, OBJECTS, PATIENCE, ReplayBudget, weight
from services.kernel.domain.publications import Publication


def page(*sizes):
    return [Publication(epoch="e", offset=n, data=b"x" * s, meta=b"") for n, s in enumerate(sizes)]


def test_together_they_are_bounded():
    budget = ReplayBudget(100)
    assert budget.hold_bytes("a", 60)
    assert budget.hold_bytes("b", 40)
    assert not budget.hold_bytes("c", 1)
    assert not budget.hold_bytes("a", 1)
    budget.release("a")
    assert not budget.hold_bytes("c", 61)
    assert budget.hold_bytes("c", 60)
    assert budget.total == 100


def test_one_alone_may_be_larger():
    budget = ReplayBudget(100)
    assert budget.hold_bytes("a", 1000)
    assert budget.hold_bytes("a", 1000)
    assert not budget.hold_bytes("b", 1)
    budget.release("a")
    budget.release("a")
    assert budget.hold_bytes("b", 1000)


def test_a_page_counts_once_whoever_holds_it():
    first, second = page(LARGE), page(LARGE)
    budget = ReplayBudget(2 * (LARGE + OBJECTS))
    for holder in ("a", "b"):
        assert budget.hold(holder, first)
        assert budget.hold(holder, first)
    assert budget.total == LARGE + OBJECTS
    assert budget.hold("b", second)
    budget.release("b")
    assert budget.total == LARGE + OBJECTS
    budget.release("a")
    assert budget.total == 0


def test_frames_are_counted_where_they_are_kept():
    assert weight(page(LARGE)) == LARGE + OBJECTS
    assert weight(page(10, 10)) == 4 * (10 + OBJECTS)


def test_what_was_collected_for_one_is_read_by_another():
    budget = ReplayBudget(10_000)
    budget.hold("subscription", page(10))
    budget.hand_over("subscription", "session")
    budget.hand_over("subscription", "session")
    budget.release("subscription")
    assert budget.total > 0
    budget.release("session")
    assert budget.total == 0


def test_who_does_not_read_for_long_makes_room():
    clock, ended = [0.0], []

    def end(reader):
        ended.append(reader)
        budget.release(reader)

    budget = ReplayBudget(100, now=lambda: clock[0], end=end)
    budget.hold_bytes("a", 50)
    clock[0] = 5
    budget.hold_bytes("b", 50)
    budget.hold_bytes("a", 0)
    clock[0] = PATIENCE - 1
    assert (budget.hold_bytes("c", 50), ended) == (False, [])
    clock[0] = PATIENCE
    assert (budget.hold_bytes("c", 50), ended) == (True, ["a"])
    assert budget.overdue() == []


def test_who_is_still_being_collected_for_is_not_overdue():
    clock = [0.0]
    budget = ReplayBudget(1, now=lambda: clock[0])
    budget.hold("waits", page(10))
    clock[0] = PATIENCE
    assert budget.overdue() == []
