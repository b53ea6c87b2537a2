"""Tasks end although a cancellation is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.kernel.redis.ending import end


async def test_a_task_that_loses_a_cancellation_is_cancelled_again():
    async def loses_one() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task, ended = asyncio.create_task(loses_one()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task, ended), 10)
    assert task.cancelled()


async def test_without_tasks_there_is_nothing_to_wait_for():
    await asyncio.wait_for(end(), 10)
