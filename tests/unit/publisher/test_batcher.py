"""What is published in one turn of the loop shares a round trip, in order, and each waiter gets its own outcomes."""

from __future__ import annotations

import asyncio

import pytest

from services.kernel.broker.port import Draft, Published
from services.kernel.domain.codes import Code, OpenlineError
from services.publisher import batcher
from services.publisher.batcher import Batcher


def draft(n):
    return Draft(channel="room:a", data=b"%d" % n, meta=b"")


class Store:
    """Records its calls; the offset it gives is the draft's data. `error` is raised when set."""

    def __init__(self):
        self.calls = []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, drafts):
        self.calls.append([int(draft.data) for draft in drafts])
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [Published("e", int(draft.data)) for draft in drafts]


async def test_one_turn_is_one_call_and_everybody_gets_their_own():
    store = Store()
    batches = Batcher(store)
    outcomes = await asyncio.gather(
        batches.publish([draft(1)]), batches.publish([draft(2), draft(3)]), batches.publish([])
    )
    assert store.calls == [[1, 2, 3]]
    assert [[outcome.offset for outcome in some] for some in outcomes] == [[1], [2, 3], []]


async def test_nothing_to_publish_calls_nobody():
    store = Store()
    assert await Batcher(store).publish([]) == []
    assert store.calls == []


async def test_the_next_turn_is_another_call_and_does_not_wait():
    store = Store()
    store.gate.clear()
    batches = Batcher(store)
    first = asyncio.create_task(batches.publish([draft(1)]))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(batches.publish([draft(2)]))
    await asyncio.sleep(0.01)
    assert store.calls == [[1], [2]]
    store.gate.set()
    assert [(await task)[0].offset for task in (first, second)] == [1, 2]


async def test_an_outage_is_the_outcome_of_each_draft():
    store = Store()
    store.error = OpenlineError(Code.UNAVAILABLE, "away")
    assert await Batcher(store).publish([draft(1), draft(2)]) == [store.error] * 2


async def test_a_fault_of_the_store_reaches_every_waiter():
    store = Store()
    store.error = RuntimeError("a bug")
    batches = Batcher(store)
    waiting = [asyncio.create_task(batches.publish([draft(n)])) for n in range(2)]
    for task in waiting:
        with pytest.raises(RuntimeError, match="a bug"):
            await task


async def test_who_leaves_disturbs_nobody():
    store = Store()
    store.gate.clear()
    batches = Batcher(store)
    leaving = asyncio.create_task(batches.publish([draft(1)]))
    staying = asyncio.create_task(batches.publish([draft(2)]))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    assert (await staying)[0].offset == 2
    assert leaving.cancelled()


async def test_a_burst_is_cut_into_parts_that_follow_each_other(monkeypatch):
    monkeypatch.setattr(batcher, "MAX_DRAFTS", 3)
    store = Store()
    batches = Batcher(store)
    sizes = (2, 1, 1, 5, 1)
    await asyncio.gather(*(batches.publish([draft(n)] * n) for n in sizes))
    assert [len(call) for call in store.calls] == [3, 1, 5, 1]
