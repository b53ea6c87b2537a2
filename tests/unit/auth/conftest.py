"""What tests of auth share."""

from __future__ import annotations

import argon2
import pytest

from services.auth import credentials


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash costs some 50 ms, for those who guess: not for tests that are about something else."""

    def cheap(**_: int) -> argon2.PasswordHasher:
        return argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

    monkeypatch.setattr(credentials, "PasswordHasher", cheap)
