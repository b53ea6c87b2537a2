"""Publishing one by one: together while the store answers, in order, and never without an answer."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from services.kernel.broker import publish_queue as module
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import Draft
from services.kernel.broker.publish_queue import PublishQueue
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.redis.futures import settle
from tests.support.waiting import until


class SlowBroker(MemoryBroker):
    """Stores when it is let; tells the batches it was given."""

    def __init__(self, **options):
        super().__init__(**options)
        self.batches = []
        self.free = asyncio.Event()
        self.raises = None

    async def publish(self, drafts):
        self.batches.append([int(draft.data) for draft in drafts])
        await self.free.wait()
        if self.raises is not None:
            raise self.raises
        return await super().publish(drafts)

    def publish_one(self, draft, done):
        if isinstance(self.raises, ValueError):
            raise self.raises
        super().publish_one(draft, done)


def draft(number, channel="room:a"):
    return Draft(channel=channel, data=b"%d" % number, meta=b'"ts":1')


@pytest.fixture
async def broker():
    return SlowBroker()


def publish(queue, numbers, channel="room:a"):
    """Publish; the list that results come into."""
    results = []
    for number in numbers:
        queue.publish(draft(number, channel), results.append)
    return results


async def store(queue, number):
    """Publish, and wait for what becomes of it."""
    outcome = asyncio.get_running_loop().create_future()
    queue.publish(draft(number), partial(settle, outcome))
    return await outcome


async def test_what_comes_while_the_store_answers_goes_out_together_in_order(broker):
    queue = PublishQueue(broker)
    first = publish(queue, [1])
    await until(lambda: broker.batches)
    rest = publish(queue, [2, 3, 4])
    broker.free.set()
    await until(lambda: len(rest) == 3)
    assert broker.batches == [[1], [2, 3, 4]]
    assert [result.offset for result in first + rest] == [1, 2, 3, 4]
    assert queue._senders == {}
    again = publish(queue, [5])
    await until(lambda: again)
    assert again[0].offset == 5


async def test_who_waits_by_itself_is_served_at_once_and_in_its_turn(broker):
    queue = PublishQueue(broker)
    first = asyncio.create_task(store(queue, 1))
    second = asyncio.create_task(store(queue, 2))
    await until(lambda: broker.batches == [[1]])
    rest = publish(queue, [3])
    broker.free.set()
    assert [(await one).offset for one in (first, second)] == [1, 2]
    await until(lambda: rest)
    assert broker.batches == [[1], [2, 3]]
    assert (await store(queue, 4)).offset == 4
    assert (queue._senders, queue._bytes) == ({}, 0)


async def test_who_gives_up_leaves_nobody_waiting(broker):
    queue = PublishQueue(broker)
    first, second, third = (asyncio.create_task(store(queue, n)) for n in (1, 2, 3))
    await until(lambda: broker.batches == [[1]])
    first.cancel()
    second.cancel()
    broker.free.set()
    assert (await third).offset == 3  # what was sent or waits is stored all the same
    assert (queue._senders, queue._bytes) == ({}, 0)


async def test_what_waits_by_itself_is_refused_by_the_same_bound(broker, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 0)
    assert (await store(PublishQueue(broker), 1)).code is Code.UNAVAILABLE


async def test_a_batch_is_bounded(broker, monkeypatch):
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    queue = PublishQueue(broker)
    broker.free.set()
    results = publish(queue, range(5))
    await until(lambda: len(results) == 5)
    assert broker.batches == [[0], [1, 2], [3, 4]]


async def test_more_than_may_wait_is_refused_for_now(broker, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    queue = PublishQueue(broker)
    publish(queue, [1, 2, 3])
    results = publish(queue, [4])
    assert results == []  # a session is never called back from within its own call
    await until(lambda: results)
    assert (results[0].code, results[0].retry_after) == (Code.UNAVAILABLE, 1)
    broker.free.set()
    await until(lambda: not queue._senders)


async def test_so_many_bytes_may_wait(broker, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 3)
    queue = PublishQueue(broker)
    stored = publish(queue, [1, 2, 3])
    refused = publish(queue, [4])
    await until(lambda: refused)
    assert refused[0].code is Code.UNAVAILABLE
    broker.free.set()
    await until(lambda: len(stored) == 3)
    again = publish(queue, [567])
    await until(lambda: again)
    assert again[0].offset == 4


async def test_partitions_do_not_wait_for_each_other():
    broker = SlowBroker(partitions=2)
    queue = PublishQueue(broker)
    names = {broker.partition(f"room:{name}"): f"room:{name}" for name in "abcdefgh"}
    results = publish(queue, [1], names[0]) + publish(queue, [2], names[1])
    await until(lambda: len(broker.batches) == 2)
    assert results == []
    broker.free.set()
    await until(lambda: not queue._senders)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (OpenlineError(Code.UNAVAILABLE, "down"), Code.UNAVAILABLE),
        (ValueError("a bug"), Code.INTERNAL),
    ],
)
async def test_a_failure_answers_everyone(broker, raised, code):
    queue = PublishQueue(broker)
    broker.raises = raised
    broker.free.set()
    results = publish(queue, [1, 2, 3])
    await until(lambda: len(results) == 3)
    assert [result.code for result in results] == [code] * 3
    broker.raises = None
    results = publish(queue, [3])
    await until(lambda: results)
    assert results[0].offset == 1


async def test_a_session_that_fails_leaves_no_other_unanswered(broker):
    queue = PublishQueue(broker)
    broker.free.set()

    def fail(result):
        raise ValueError("a bug")

    queue.publish(draft(1), fail)
    results = publish(queue, [2])
    await until(lambda: results)
    assert results[0].offset == 2
