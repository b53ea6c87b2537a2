"""Rules broken on purpose: each break still finds what it breaks, or a run without the rule would not start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtest.chaos import without
from services.gateway.hub.bus_cursor import BusCursor
from services.gateway.hub.channel import Channel
from services.gateway.hub.hub import Hub
from services.kernel.broker.redis import scripts
from services.kernel.redis.sentinel import Sentinels

BROKEN = (
    (BusCursor, "confirmed"),
    (Hub, "_resync"),
    (Channel, "_buffer_up"),
    (Sentinels, "__init__"),
    (scripts, "_read"),
)


def product() -> list[object]:
    """All that a rule's break replaces, and what comes of it."""
    scripts.script.cache_clear()
    scripts.everything.cache_clear()
    return [*(getattr(where, name) for where, name in BROKEN[:-1]), scripts.everything()]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The product is whole again after the test."""
    for where, name in BROKEN:
        monkeypatch.setattr(where, name, getattr(where, name))
    yield
    monkeypatch.undo()
    product()


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("rule", without.RULES)
def test_each_rule_can_be_broken(rule: str) -> None:
    whole = product()
    without.RULES[rule].broken()
    assert product() != whole
