"""How the parts of a local run start together."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.processes import StartError
from deploy.local.run import _together


async def fail(line: str) -> None:
    raise StartError(line)


@pytest.mark.parametrize("failing", [1, 2])
async def test_when_parts_do_not_start_the_first_says_why_alone(failing):
    cancelled = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(StartError, match="part 0"):
        await _together(wait(), *(fail(f"part {number}") for number in range(failing)))
    assert cancelled
