"""Rules broken on purpose: each break still finds what it breaks, or a run without the rule would not start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loadtest.chaos import without
from services.kernel.broker.redis import scripts
from services.kernel.redis.scripts import Script


@pytest.mark.parametrize("rule", without.RULES)
def test_each_rule_can_be_broken(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: list[str] = []

    def breaks(where: type, name: str, how: Callable[..., Any]) -> None:
        monkeypatch.setattr(where, name, how)  # raises where there is no such thing
        broken.append(name)

    whole = assembled()
    monkeypatch.setattr(scripts, "_read", scripts._read)
    monkeypatch.setattr(without, "_break", breaks)
    try:
        without.RULES[rule].broken()
        assert broken or assembled() != whole
    finally:
        forget()


def assembled() -> tuple[Script, ...]:
    """All scripts, read anew."""
    forget()
    return scripts.everything()


def forget() -> None:
    scripts.script.cache_clear()
    scripts.everything.cache_clear()
