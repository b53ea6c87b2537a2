"""Connections that came lately are known, and those that have settled are forgotten."""

from __future__ import annotations

from services.gateway.node.newcomers import SETTLED_SECONDS, Newcomers


def test_a_connection_is_a_newcomer_for_five_minutes():
    newcomers = Newcomers()
    newcomers.came("a", 10)
    newcomers.came("b", 20)
    newcomers.forget(10 + SETTLED_SECONDS - 1)
    assert "a" in newcomers
    newcomers.forget(10 + SETTLED_SECONDS)
    assert ("a" in newcomers, "b" in newcomers, len(newcomers)) == (False, True, 1)
    newcomers.forget(1e9)
    assert len(newcomers) == 0
