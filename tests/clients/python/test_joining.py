"""How the messages of many tasks become one call, on asyncio and Trio."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from openline.calls import Item
from openline.joining import Joiner
from openline.types import Published

pytestmark = pytest.mark.clients


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Runs a coroutine function on a loop of each kind."""
    return partial(anyio.run, backend=request.param)


class Calls:
    """Carries messages: each call waits to be released, then all of its messages are stored."""

    def __init__(self):
        self.sent = []
        self.stored = []
        self.waiting = []

    async def carry(self, gathered):
        self.sent.append([one.item.key for one in gathered])
        released = anyio.Event()
        self.waiting.append(released)
        await released.wait()
        for one in gathered:
            if one.item.key not in self.stored:
                self.stored.append(one.item.key)
            one.settle(Published("e", self.stored.index(one.item.key) + 1))

    async def release(self):
        while not self.waiting:
            await anyio.lowlevel.checkpoint()
        self.waiting.pop(0).set()


async def turns(count=20):
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


def publish(joiner, name, offsets):
    async def one():
        outcome = await joiner.deliver(Item("room:a", b"{}", name), 0.0)
        offsets[name] = outcome.offset

    return one


def test_what_tasks_publish_in_one_turn_leaves_in_one_call(run):
    async def main():
        calls, offsets = Calls(), {}
        joiner = Joiner(calls.carry)
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(publish(joiner, str(number), offsets))
            await calls.release()
        assert [sorted(call) for call in calls.sent] == [["0", "1", "2", "3", "4"]]
        assert sorted(offsets.values()) == [1, 2, 3, 4, 5]

    run(main)


def test_the_next_call_leaves_when_the_first_is_answered(run):
    async def main():
        calls, offsets = Calls(), {}
        joiner = Joiner(calls.carry)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish(joiner, "first", offsets))
            await turns()
            for name in ("second", "third"):
                tasks.start_soon(publish(joiner, name, offsets))
                await turns()
            assert calls.sent == [["first"]]
            await calls.release()
            await calls.release()
        assert calls.sent == [["first"], ["second", "third"]]
        assert offsets == {"first": 1, "second": 2, "third": 3}

    run(main)


@pytest.mark.parametrize("cancelled", [0, 1, 2, 3])
def test_a_cancelled_task_costs_the_others_nothing(run, cancelled):
    async def main():
        calls, offsets = Calls(), {}
        joiner = Joiner(calls.carry)
        scopes = {}

        async def one(number):
            with anyio.CancelScope() as scopes[number]:
                await publish(joiner, number, offsets)()

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(one, number)
                await turns()
                if number == 1:
                    await calls.release()
                    await turns()
            scopes[cancelled].cancel()
            await turns()
            for _ in range(4):
                await turns()
                if calls.waiting:
                    await calls.release()
        survivors = {0, 1, 2, 3} - ({cancelled} if cancelled not in offsets else set())
        assert offsets.keys() == survivors
        assert [key for key in calls.stored if key in survivors] == sorted(survivors)

    run(main)


def test_a_leader_that_is_cancelled_before_it_has_sent_hands_over(run):
    async def main():
        calls, offsets = Calls(), {}
        joiner = Joiner(calls.carry)

        async def leader():
            with anyio.move_on_after(0):
                await joiner.deliver(Item("room:a", b"{}", "gone"), 0.0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leader)
            await turns(1)
            tasks.start_soon(publish(joiner, "here", offsets))
            await turns()
            await calls.release()
        assert offsets == {"here": 1}

    run(main)


def test_a_call_that_raises_harms_only_its_leader(run):
    async def main():
        calls, offsets, failures = Calls(), {}, []
        broken = [True]

        async def carry(gathered):
            if broken and len(gathered) > 1:
                broken.clear()
                raise RuntimeError("broken")
            await calls.carry(gathered)

        joiner = Joiner(carry)

        async def one(name):
            try:
                await publish(joiner, name, offsets)()
            except RuntimeError:
                failures.append(name)

        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(one, name)
            await calls.release()
        assert len(failures) == 1
        assert len(offsets) == 2

    run(main)
