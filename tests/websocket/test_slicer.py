"""Work in slices: in order, never more than a slice at once, and one that fails holds up nobody."""

from __future__ import annotations

import asyncio

from services.gateway.websocket.slicer import SHARE, SLICE, Slicer


class Clock:
    """Stands still but for what work says it took."""

    now = 0.0

    def __call__(self):
        return self.now


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


def sliced():
    clock = Clock()
    return Slicer(asyncio.get_running_loop(), clock=clock), clock


async def test_work_is_done_in_order_and_others_have_their_turns_between_slices():
    shared, clock = sliced()
    done = []

    def work(number):
        done.append(number)
        clock.now += SLICE / 2

    for number in range(4):
        shared.add(lambda number=number: work(number))
    assert not done  # never at once
    asyncio.get_running_loop().call_soon(done.append, "other")
    await turns()
    assert done == [0, 1, "other", 2, 3]


async def test_quick_work_shares_a_turn():
    shared, _ = sliced()
    done = []
    for number in range(100):
        shared.add(lambda number=number: done.append(number))
    await turns(1)
    assert done == list(range(100))


async def test_what_work_asks_for_comes_behind_what_waits():
    shared, _ = sliced()
    done = []
    shared.add(lambda: (done.append("first"), shared.add(lambda: done.append("third"))))
    shared.add(lambda: done.append("second"))
    await turns()
    shared.add(lambda: done.append("later"))
    await turns()
    assert done == ["first", "second", "third", "later"]


async def test_work_that_fails_is_reported_and_the_rest_goes_on():
    shared, _ = sliced()
    done, said = [], []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: said.append(context["exception"])
    )
    shared.add(lambda: 1 / 0)
    shared.add(lambda: done.append("next"))
    await turns()
    assert (done, [type(error) for error in said]) == (["next"], [ZeroDivisionError])


async def test_who_sends_little_reads_first_and_nobody_starves():
    shared, clock = sliced()
    done = []

    def work(name):
        done.append(name)
        clock.now += SLICE

    for number in range(2):
        shared.add(lambda number=number: work(f"other {number}"))
        shared.add_reading(lambda number=number: work(f"busy {number}"), busy=True)
    for number in range(3):
        shared.add_reading(lambda number=number: work(f"brief {number}"), busy=False)
    await turns()
    assert done == [
        *("brief 0", "busy 0", "other 0"),
        *("brief 1", "busy 1", "other 1"),
        "brief 2",
    ]


async def test_a_turn_has_one_slice_for_who_reads_at_once_and_for_who_waited():
    shared, clock = sliced()
    assert shared.has_time()
    clock.now += SLICE
    assert not shared.has_time()
    await turns(1)
    assert shared.has_time()  # the next turn's
    shared.add(lambda: setattr(clock, "now", clock.now + SLICE))
    await turns(1)
    assert not shared.has_time()
    await turns(2)
    assert shared.has_time()


async def test_who_reads_while_others_wait_stops_after_its_share():
    shared, clock = sliced()
    assert shared.has_time()
    assert shared.until() == clock.now + SLICE
    shared.add(lambda: None)
    assert shared.until() == clock.now + SHARE
