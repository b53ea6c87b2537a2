"""What a gateway keeps for all its slow subscriptions is bounded."""

from __future__ import annotations

from services.gateway.fanout.lag_budget import LagBudget


def test_room_is_had_up_to_the_limit_and_again_when_it_was_given_back():
    budget = LagBudget(10)
    assert budget.hold(6)
    assert not budget.hold(5)
    assert budget.held == 6
    budget.release(6)
    assert budget.hold(10)
