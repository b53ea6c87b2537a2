"""Who is to press Enter is waited for, and nobody else."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from services.handover.masters import RefusedError
from services.handover.prompt import ask_to_install


@pytest.fixture
def typed(monkeypatch):
    """Where what is written comes in as from a terminal."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield terminal


async def test_it_goes_on_when_enter_is_pressed(typed):
    said = []
    waiting = asyncio.create_task(ask_to_install(said.append))
    await asyncio.sleep(0)
    assert "press Enter" in said[0]
    assert not waiting.done()
    typed.write("\n")
    typed.flush()
    await waiting


async def test_it_can_be_interrupted(typed):
    waiting = asyncio.create_task(ask_to_install(lambda _: None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_where_nobody_can_press_enter_nothing_is_done(typed, monkeypatch):
    typed.close()
    with pytest.raises(RefusedError, match="nobody pressed Enter: nothing has changed"):
        await ask_to_install(lambda _: None)
    with Path(os.devnull).open() as nothing:  # noqa: ASYNC230 - it never waits
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(RefusedError, match="nobody pressed Enter"):
            await ask_to_install(lambda _: None)
