"""What has come and was not taken yet."""

from __future__ import annotations

import asyncio

import pytest

from openline.buffer import STUFFED, Buffer, Crowd
from openline.errors import OpenlineError
from openline.types import Lost, Position

pytestmark = pytest.mark.clients


@pytest.fixture
async def buffer():
    buffer = Buffer(Crowd(), 4)
    yield buffer
    buffer.discard()


async def test_things_are_taken_in_their_order(buffer):
    buffer.put(Position("e", 1), "a")
    buffer.put(None, "b")
    assert [await buffer.take(), await buffer.take()] == [(Position("e", 1), "a"), (None, "b")]


async def test_whoever_waits_gets_what_comes(buffer):
    waiting = asyncio.create_task(buffer.take())
    await asyncio.sleep(0)
    buffer.put(None, "a")
    assert await waiting == (None, "a")


async def test_two_tasks_cannot_read_at_once(buffer):
    waiting = asyncio.create_task(buffer.take())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one task at a time"):
        await buffer.take()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    buffer.put(None, "a")
    assert await buffer.take() == (None, "a")


async def test_what_waits_is_taken_before_the_end(buffer):
    buffer.put(None, "a")
    buffer.fail(OpenlineError("no", code="forbidden"))
    assert await buffer.take() == (None, "a")
    with pytest.raises(OpenlineError, match="forbidden"):
        await buffer.take()
    with pytest.raises(OpenlineError, match="forbidden"):
        await buffer.live


async def test_a_client_that_is_left_ends_the_loop(buffer):
    buffer.stand()
    buffer.leave(OpenlineError("left", code="disconnected"))
    with pytest.raises(StopAsyncIteration):
        await buffer.take()
    assert await buffer.live is None


async def test_whoever_waits_for_it_to_stand_is_told_that_the_client_was_left(buffer):
    buffer.leave(OpenlineError("left", code="disconnected"))
    with pytest.raises(OpenlineError, match="left"):
        await buffer.live


async def test_it_begins_where_nothing_has_to_be_taken_before(buffer):
    buffer.put(None, "state")
    buffer.put(Position("e", 5), None)
    assert buffer.start() == Position("e", 5)


async def test_what_was_lost_has_to_be_taken_first(buffer):
    buffer.put(Position("e", 5), Lost("room:a", "gap", Position("e", 5)))
    buffer.put(Position("e", 6), None)
    assert buffer.start() is None


async def test_a_full_buffer_stops_reading_until_half_is_taken():
    crowd = Crowd()
    buffer = Buffer(crowd, 4)
    for n in range(4):
        buffer.put(None, n)
    assert crowd.stops(awaited=False)
    await buffer.take()
    assert crowd.stops(awaited=False)
    await buffer.take()
    assert not crowd.stops(awaited=False)


async def test_an_answer_that_is_awaited_lets_more_in_but_not_without_end():
    crowd = Crowd()
    buffer = Buffer(crowd, 4)
    for n in range(4 * STUFFED - 1):
        buffer.put(None, n)
    assert not crowd.stops(awaited=True)
    buffer.put(None, "last")
    assert crowd.stops(awaited=True)
    while len(buffer) > 2 * STUFFED:
        await buffer.take()
    assert not crowd.stops(awaited=True)
    assert crowd.stops(awaited=False)
    while len(buffer):
        await buffer.take()
    assert not crowd.stops(awaited=False)


async def test_a_buffer_that_is_given_up_holds_nobody_up():
    crowd = Crowd()
    buffer = Buffer(crowd, 4)
    for n in range(4 * STUFFED):
        buffer.put(None, n)
    waiting = asyncio.create_task(crowd.changed())
    await asyncio.sleep(0)
    buffer.discard()
    await waiting
    assert not crowd.stops(awaited=False)


async def test_one_full_buffer_stops_nobody_who_reads_the_same_channel():
    crowd = Crowd()
    slow = Buffer(crowd, 4)
    quick = Buffer(crowd, 4, beside=slow)
    for n in range(3 * 4):
        slow.put(None, n)
        quick.put(None, n)
        await quick.take()
        assert not crowd.stops(awaited=False)
    assert len(slow) == 3 * 4


async def test_reading_stops_while_all_of_a_channel_are_full():
    crowd = Crowd()
    slow = Buffer(crowd, 4)
    quick = Buffer(crowd, 4, beside=slow)
    for n in range(4):
        slow.put(None, n)
        quick.put(None, n)
    assert crowd.stops(awaited=False)
    quick.discard()
    assert crowd.stops(awaited=False)
    Buffer(crowd, 4, beside=slow)
    assert not crowd.stops(awaited=False)


async def test_whoever_is_far_behind_others_gets_what_waits_and_then_why():
    crowd = Crowd()
    slow = Buffer(crowd, 4)
    quick = Buffer(crowd, 4, beside=slow)
    for n in range(4 * STUFFED + 5):
        slow.put(None, n)
        quick.put(None, n)
        await quick.take()
    assert [(await slow.take())[1] for _ in range(4 * STUFFED)] == list(range(4 * STUFFED))
    with pytest.raises(OpenlineError, match="since=channel") as caught:
        await slow.take()
    assert caught.value.code == "slow_reader"
    quick.put(None, "more")
    assert (await quick.take())[1] == "more"
    assert not crowd.stops(awaited=False)


async def test_two_who_wait_for_a_change_both_hear_of_it():
    crowd = Crowd()
    waiting = [asyncio.create_task(crowd.changed()) for _ in range(2)]
    await asyncio.sleep(0)
    crowd.change()
    await asyncio.gather(*waiting)


async def test_more_is_asked_for_when_half_is_taken():
    buffer, asked = Buffer(Crowd(), 4), []
    buffer.when_taken(lambda: asked.append("at once"))
    assert asked == ["at once"]
    for n in range(4):
        buffer.put(None, n)
    buffer.when_taken(lambda: asked.append("later"))
    await buffer.take()
    assert asked == ["at once"]
    await buffer.take()
    assert asked == ["at once", "later"]
    await buffer.take()
    assert asked == ["at once", "later"]
