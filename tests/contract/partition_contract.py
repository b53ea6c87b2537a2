"""What every broker does with several partitions: each has its own bus, and callers need not know."""

from __future__ import annotations

import asyncio

from services.kernel.broker.port import Broker, Published
from tests.contract.steps import beat, draft, look, member, publish

NAMES = [f"room:{n:02}" for n in range(20)]
PARTITIONS = 3


async def beat_everywhere(broker: Broker, incarnation: str) -> None:
    for number in range(PARTITIONS):
        await beat(broker, incarnation, number)


class PartitionContract:
    """Needs the fixture `make`."""

    async def test_one_call_publishes_to_all_partitions_in_order(self, make) -> None:
        broker = await make(partitions=PARTITIONS)
        results = await broker.publish([draft(name, name) for name in NAMES * 2])
        assert all(isinstance(result, Published) for result in results)
        assert [result.offset for result in results] == [1] * 20 + [2] * 20
        seen = []
        for number in range(PARTITIONS):
            entries = await broker.read(number, 0)
            assert [entry.id for entry in entries] == list(range(1, len(entries) + 1))
            assert all(broker.partition(entry.channel) == number for entry in entries)
            seen += [entry.channel for entry in entries]
        assert sorted(seen) == sorted(NAMES * 2)

    async def test_a_channel_is_looked_at_in_its_partition(self, make) -> None:
        broker = await make(partitions=PARTITIONS)
        for name in NAMES:
            (stored,) = await publish(broker, name, "1")
            assert (await look(broker, name)).epoch == stored.epoch

    async def test_channels_are_listed_over_all_partitions_by_name(self, make) -> None:
        broker = await make(partitions=PARTITIONS)
        await beat_everywhere(broker, "i1")
        counts = {name: place + 1 for place, name in enumerate(NAMES)}
        await broker.listeners("i1", counts)
        cursor, seen = None, []
        for _ in range(3):
            page = await broker.channels("room:", cursor=cursor, limit=8)
            seen += page.channels
            cursor = page.cursor
        assert (seen, cursor) == (list(counts.items()), None)
        assert await broker.subscribers(NAMES[::-1]) == list(counts.values())[::-1]

    async def test_a_node_resigns_and_is_reaped_everywhere(self, make) -> None:
        broker = await make(partitions=PARTITIONS)
        await beat_everywhere(broker, "i1")
        for name in NAMES:
            await broker.enter(name, member("c1"), "i1", announce=True)
        await broker.resign("i1")
        for number in range(PARTITIONS):
            assert (await beat(broker, "i2", number)).expired == ("i1",)
            assert not await broker.reap(number, "i1")
        for name in NAMES:
            assert (await broker.members(name, cursor=None, limit=1)).count == 0

    async def test_beats_that_leave_together_are_answered_each_for_its_partition(
        self, make
    ) -> None:
        broker = await make(partitions=PARTITIONS)
        for number in range(PARTITIONS):
            for _ in range(number):
                await beat(broker, "i1", number, canary=True)
        for _ in range(2):
            beats = (beat(broker, "i1", number) for number in range(PARTITIONS))
            beaten = await asyncio.gather(*beats)
            assert not any(one.lost or one.expired for one in beaten)
            assert len({one.history for one in beaten}) == PARTITIONS
        assert [one.bus for one in beaten] == [max(1, number) for number in range(PARTITIONS)]
        assert not any(broker.counters.failures.values())

    async def test_control_goes_to_the_first_partition(self, make) -> None:
        broker = await make(partitions=PARTITIONS)
        await broker.control(b"{}")
        sizes = [len(await broker.read(number, 0, block=0)) for number in range(PARTITIONS)]
        assert sizes == [1, 0, 0]

    async def test_each_users_bucket_is_one_wherever_it_lies(self, make) -> None:
        broker = await make(partitions=PARTITIONS)
        usage = {f"u{n}": float(n) for n in range(10)}
        left = await broker.spend(usage, rate=0.001, burst=10)
        assert {user: round(value) for user, value in left.items()} == {
            user: 10 - round(taken) for user, taken in usage.items()
        }
