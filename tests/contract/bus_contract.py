"""What every broker does with the bus: reading it, signals, and beats."""

from __future__ import annotations

import asyncio
import json

from services.kernel.broker.port import (
    CANARY_SECONDS,
    QUIET_CANARY_SECONDS,
    Batch,
    Beat,
    Broker,
    EntryType,
)
from services.kernel.domain.codes import Code
from tests.contract.steps import (
    beat,
    draft,
    expect_error,
    follow,
    head,
    member,
    publish,
    read_up_to,
)
from tests.support.waiting import until


async def second_canary(broker: Broker, pass_time) -> tuple[float, int, int]:
    """The moments of the last beat without a second canary, of that canary, and of the first; in ms of the store's clock, the
    former two after the first. Two nodes beat, however seldom a busy machine lets them.
    """
    before = 0.0
    while True:
        for node in ("i1", "i2"):
            beaten = await beat(broker, node)
            found = [entry for entry in await broker.read(0, 0) if entry.type is EntryType.BEAT]
            if len(found) == 2:
                first, second = (json.loads(b"{" + e.fragment + b"}")["at"] for e in found)
                return before - first, second - first, first
            before = beaten.at
        await pass_time(0.05)


class BusContract:
    """Needs the fixtures `make`, `broker` and `shorten`."""

    async def test_ids_count_up_by_one_over_all_channels(self, broker: Broker) -> None:
        for channel in ("room:a", "room:b", "room:a"):
            await publish(broker, channel, "x")
        await broker.typing("room:a", "bob")
        await broker.control(b"{}")
        found = await broker.read(0, 0)
        assert [entry.id for entry in found] == [1, 2, 3, 4, 5]
        assert [entry.channel for entry in found] == ["room:a", "room:b", "room:a", "room:a", ""]

    async def test_publications_come_in_offset_order(self, broker: Broker) -> None:
        await asyncio.gather(*(publish(broker, "room:a", "x", "y") for _ in range(20)))
        found = [entry.publication for entry in await broker.read(0, 0)]
        assert [p.offset for p in found if p is not None] == list(range(1, 41))

    async def test_reading_starts_after_a_position(self, broker: Broker) -> None:
        await publish(broker, "room:a", "1", "2", "3")
        assert [entry.id for entry in await broker.read(0, 2)] == [3]

    async def test_an_idle_bus_answers_with_nothing_in_time(self, broker: Broker) -> None:
        assert not await broker.read(0, 0, block=0.05)
        assert not await broker.read(0, 0, block=0)
        await publish(broker, "room:a", "1")
        assert not await broker.read(0, 1, block=0.05)

    async def test_a_waiting_read_is_woken(self, broker: Broker) -> None:
        waiting = asyncio.create_task(broker.read(0, 0, block=10))
        await asyncio.sleep(0.05)
        await publish(broker, "room:a", "1")
        assert [entry.id for entry in await waiting] == [1]

    async def test_a_read_that_was_given_up_loses_nothing(self, broker: Broker) -> None:
        waiting = asyncio.create_task(broker.read(0, 0, block=5))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])
        await publish(broker, "room:a", "1")
        assert [entry.id for entry in await broker.read(0, 0)] == [1]

    async def test_reconnecting_keeps_what_was_there(self, broker: Broker) -> None:
        await publish(broker, "room:a", "1")
        await broker.read(0, 0)
        await broker.reconnect(0)
        assert [entry.id for entry in await broker.read(0, 0)] == [1]
        assert (await head(broker, "room:a")).offset == 1

    async def test_who_follows_gets_each_entry_once_whether_it_is_quiet_or_not(
        self, broker: Broker
    ) -> None:
        position = await follow(broker, 0, quiet=40)
        await broker.publish([draft("room:a") for _ in range(50)])
        position = await read_up_to(broker, position, position + 50)
        position = await follow(broker, position, quiet=5)
        for _ in range(3):
            await publish(broker, "room:a", *"xyz")
            await publish(broker, "room:b", "x")
        await read_up_to(broker, position, position + 12)

    async def test_what_is_taken_and_what_reads_return_is_each_entry_once_in_order(
        self, broker: Broker
    ) -> None:
        heard: list[int] = []

        def take(batch: Batch) -> bool:
            heard.extend(entry.id for entry in batch)
            return heard[-1] % 7 > 0

        async def read() -> None:
            while True:
                position = heard[-1] if heard else 0
                take(await broker.read(0, position, block=10.0, take=take))

        reading = asyncio.create_task(read())
        for number in range(1, 60):
            await publish(broker, "room:a", "x")
            await until(lambda number=number: len(heard) == number)
        await broker.publish([draft("room:a") for _ in range(50)])
        await until(lambda: len(heard) == 109)
        reading.cancel()
        await asyncio.wait([reading])
        assert heard == list(range(1, 110))

    async def test_a_read_while_nothing_is_wanted_may_be_told_to_rest_no_longer(
        self, broker: Broker
    ) -> None:
        for number in range(5):
            await publish(broker, "room:a", "x")
            reading = asyncio.create_task(broker.read(0, number, block=10.0, wanted=()))
            await asyncio.sleep(0)
            broker.read_now(0)
            assert [entry.id for entry in await reading] == [number + 1]

    async def test_a_silence_between_entries_passes_over_nothing(self, broker: Broker) -> None:
        position = await follow(broker, 0, quiet=5, block=0.1)
        for _ in range(2):
            assert not await broker.read(0, position, block=0.1)
            position = await follow(broker, position, quiet=1, block=0.1)

    async def test_who_followed_may_read_after_any_other_id(self, broker: Broker) -> None:
        position = await follow(broker, 0, quiet=5)
        assert (await broker.read(0, 1))[0].id == 2
        await publish(broker, "room:a", "x")
        assert [entry.id for entry in await broker.read(0, position, block=1)] == [position + 1]
        assert not await broker.read(0, position + 1, block=0)

    async def test_who_followed_a_bus_that_is_trimmed_sees_the_hole(self, make) -> None:
        broker = await make(bus_length=10)
        position = await follow(broker, 0, quiet=5)
        await broker.publish([draft("room:a") for _ in range(1000)])
        seen = [position]
        while seen[-1] < position + 1000:
            seen += [entry.id for entry in await broker.read(0, seen[-1])]
        assert seen == sorted(set(seen))
        assert len(seen) < 1000

    async def test_a_trimmed_bus_shows_a_hole(self, make) -> None:
        broker = await make(bus_length=10)
        await broker.publish([draft("room:a") for _ in range(1000)])
        found = await broker.read(0, 0)
        assert found[0].id > 1
        assert [entry.id for entry in found] == list(range(found[0].id, 1001))
        assert (await head(broker, "room:a")).bus == 1000

    async def test_the_bus_holds_so_many_bytes_of_messages(self, make) -> None:
        budget, size = 1_048_576, 65_000
        broker = await make(bus_bytes=budget)
        for _ in range(64):
            await broker.publish([draft("room:a", "x" * size)])
        found = await broker.read(0, 0)
        assert budget * 14 // 16 < len(found) * size <= budget * 18 // 16
        assert [entry.id for entry in found] == list(range(65 - len(found), 65))

    async def test_small_messages_count_as_well_if_not_to_the_byte(self, make) -> None:
        budget, size = 1_048_576, 1000
        broker = await make(bus_bytes=budget)
        for _ in range(1000):
            await broker.publish([draft("room:a", "x" * size) for _ in range(3)])
        first = (await broker.read(0, 0))[0].id
        assert (3001 - first) * size < 2 * budget

    async def test_control_messages_count_as_well(self, make) -> None:
        budget, size = 1_048_576, 65_000
        broker = await make(bus_bytes=budget)
        for _ in range(64):
            await broker.control(b"x" * size)
        found = await broker.read(0, 0)
        assert budget * 14 // 16 < len(found) * size <= budget * 18 // 16

    async def test_what_is_larger_than_the_bus_leaves_nothing_before_it(self, make) -> None:
        broker = await make(bus_bytes=1_048_576)
        for _ in range(3):
            await broker.publish([draft("room:a", "x" * 3_000_000)])
        assert 1 <= len(await broker.read(0, 0)) <= 2
        assert (await broker.read(0, 2))[0].id == 3

    async def test_while_memory_is_short_messages_are_refused_and_nothing_else_is(
        self, broker: Broker, shorten
    ) -> None:
        await publish(broker, "room:a", "1")
        await beat(broker, "i1")
        assert not (await broker.health()).full
        await shorten(True)
        assert (await beat(broker, "i1", canary=True)).full
        assert (await broker.health()).full
        for refusal in await broker.publish([draft("room:a"), draft("room:b", ephemeral=True)]):
            error = expect_error(refusal, Code.UNAVAILABLE)
            assert "memory" in error.message
            assert error.retry_after == 5
        await broker.typing("room:a", "bob")
        await broker.control(b"{}")
        await broker.enter("room:a", member("c1"), "i1", announce=True)
        await broker.listeners("i1", {"room:c": 1})
        await broker.open("room:c", "Epoch1")
        assert (await broker.spend({"amy": 1.0}, rate=10, burst=20))["amy"] == 19
        assert (await broker.drop("room:a")).offset == 1
        kinds = [entry.type for entry in await broker.read(0, 3)]
        assert kinds == [EntryType.CONTROL, EntryType.JOIN, EntryType.NUDGE]

    async def test_messages_are_taken_again_as_soon_as_there_is_memory(
        self, broker: Broker, shorten
    ) -> None:
        await shorten(True)
        assert (await beat(broker, "i1")).full
        await shorten(False)
        await publish(broker, "room:a", "1")
        assert not (await broker.health()).full
        assert not (await beat(broker, "i1")).full

    async def test_signals_carry_their_fragments(self, broker: Broker) -> None:
        await broker.typing("room:a", "bob")
        await broker.typing("room:a", None)
        await broker.control(b'{"do":"disconnect","user":"bob"}')
        bob, nobody, control = await broker.read(0, 0)
        assert (bob.type, bob.channel) == (EntryType.TYPING, "room:a")
        assert json.loads(b"{" + bob.fragment + b"}") == {"user": "bob"}
        assert json.loads(b"{" + nobody.fragment + b"}") == {"user": None}
        assert (control.type, control.channel) == (EntryType.CONTROL, "")
        assert control.fragment == b'{"do":"disconnect","user":"bob"}'

    async def test_a_beat_puts_a_canary_on_the_bus(self, broker: Broker, now) -> None:
        await publish(broker, "room:a", "1")
        begun = now()
        beaten = await beat(broker, "i1")
        done = now()
        (entry,) = await broker.read(0, 1)
        assert (entry.type, entry.id) == (EntryType.BEAT, beaten.bus)
        told = json.loads(b"{" + entry.fragment + b"}")
        assert told["node"] == "i1"
        assert begun * 1000 - 5000 < told["at"] < done * 1000 + 5000
        assert told["at"] == beaten.at

    async def test_one_canary_does_for_all_until_it_is_old(self, broker: Broker, pass_time) -> None:
        await beat(broker, "i1")
        await broker.typing("room:a", "bob")
        before, second, _ = await second_canary(broker, pass_time)
        assert before < CANARY_SECONDS * 1000 <= second

    async def test_while_nothing_comes_the_last_canary_is_old_later(
        self, broker: Broker, pass_time
    ) -> None:
        before, second, _ = await second_canary(broker, pass_time)
        assert before < QUIET_CANARY_SECONDS * 1000 <= second

    async def test_while_messages_are_refused_memory_is_measured_with_each_old_canary(
        self, broker: Broker, shorten, pass_time
    ) -> None:
        await shorten(True)
        assert (await beat(broker, "i1")).full
        before, second, first = await second_canary(broker, pass_time)
        assert before < CANARY_SECONDS * 1000 <= second
        await shorten(False)
        while (beaten := await beat(broker, "i1")).full:
            assert beaten.at - first - second < CANARY_SECONDS * 1000
            await pass_time(0.05)

    async def test_who_has_heard_nothing_yet_gets_a_canary_at_once(self, broker: Broker) -> None:
        await beat(broker, "i1")
        told = Beat(incarnation="i2", node=b"{}", canary=True)
        beaten = await broker.beat(0, told)
        (entry,) = await broker.read(0, 1)
        assert (entry.type, entry.id, beaten.bus) == (EntryType.BEAT, 2, 2)

    async def test_a_beat_tells_history_and_position(self, broker: Broker) -> None:
        first = await beat(broker, "i1")
        await publish(broker, "room:a", "1", "2")
        second = await beat(broker, "i1")
        assert first.bus == 1
        assert second.bus in (3, 4)  # with a canary where a second has passed
        looked = await head(broker, "room:a")
        assert first.history == second.history == looked.history
        assert not second.lost
        assert second.expired == ()
