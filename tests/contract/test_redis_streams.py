"""The broker over Redis Streams keeps the contract, on Redis 7.0 and on Valkey 9."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from services.kernel.broker.port import Look
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.positions import Position
from tests.contract.broker_contract import BrokerContract
from tests.contract.steps import LEASE, beat, draft, member, publish
from tests.support.redis_server import given_or_started, start_redis

pytestmark = pytest.mark.server


class RedisContract(BrokerContract):
    @pytest.fixture
    def now(self):
        return time.time

    @pytest.fixture
    def pass_time(self):
        return asyncio.sleep

    @pytest.fixture
    def age(self, server):
        async def age(seconds):
            """Beats are set back by so much, and what ends by itself has so much less to live."""
            passed = round(seconds * 1000)
            with server.client() as client:
                for key in client.keys("ol:{p0}:*"):
                    if (left := client.pttl(key)) > 0:
                        client.pexpire(key, max(0, left - passed))
                for incarnation in client.zrange("ol:{p0}:leases", 0, -1):
                    client.zincrby("ol:{p0}:leases", -passed, incarnation)

        return age

    @pytest.fixture
    def pass_hour(self, server):
        async def pass_hour(part=1.0):
            """Nobody can wait for it: heads have so much less to live."""
            with server.client() as client:
                for key in client.keys("ol:{p0}:head:*"):
                    client.pexpire(key, max(0, client.pttl(key) - round(part * 3_600_000)))

        return pass_hour

    @pytest.fixture
    def shorten(self, server):
        """Nine tenths of the memory are used then: more than messages may have, and less than all."""

        async def shorten(on):
            with server.client() as client:
                used = client.info("memory")["used_memory"]
                client.config_set("maxmemory", used * 10 // 9 if on else 0)

        yield shorten
        with server.client() as client:
            client.config_set("maxmemory", 0)

    @pytest.fixture
    async def make(self, server):
        with server.client() as client:
            client.flushall()
        async with AsyncExitStack() as stack:

            async def make(**options) -> RedisBroker:
                broker = RedisBroker(server.url, **{"lease": LEASE, **options})
                stack.push_async_callback(broker.close)
                await broker.start()
                return broker

            yield make

    @pytest.fixture
    async def broker(self, make):
        return await make()

    async def test_what_an_older_version_wrote_goes_by_number_and_then_bytes_count(
        self, broker, server
    ) -> None:
        await publish(broker, "room:a", "1")
        log, data = "ol:{p0}:log:room:a", "x" * 94
        with server.client() as client:
            client.xdel(log, "1-0")
            for n in range(2, 302):
                client.xadd(log, {"h": "j ", "d": data, "m": '"ts":1'}, id=f"{n}-0")
            client.hset("ol:{p0}:head:room:a", "offset", 301)
            for _ in range(20):
                await broker.publish([draft("room:a", data, history_bytes=500)])
            assert client.xlen(log) == 320
            for _ in range(10):
                await broker.publish([draft("room:a", data, history_size=25, history_bytes=500)])
            assert client.xlen(log) == 5

    async def test_a_head_lives_at_least_twice_as_long_as_its_log(self, broker, server) -> None:
        """A head that went first would begin a new epoch although nothing was lost."""
        day = 86_400
        with server.client() as client:
            for ttl in (60, 30 * day):
                for _ in range(2):
                    await broker.publish([draft("room:a", history_ttl=ttl)])
                assert ttl - 5 < client.ttl("ol:{p0}:log:room:a") <= 1.1 * ttl
                assert client.ttl("ol:{p0}:head:room:a") >= max(2 * ttl, 6 * day)

    async def test_a_publication_prolongs_log_and_head_only_when_a_tenth_has_passed(
        self, broker, server
    ) -> None:
        """A write less to replicate; the log never lives shorter than it should."""
        log, head = "ol:{p0}:log:room:a", "ol:{p0}:head:room:a"

        async def publish(ttl: int = 1000, **options: int) -> None:
            await broker.publish([draft("room:a", history_ttl=ttl, **options)])

        with server.client() as client:
            await publish()
            assert 1095 < client.ttl(log) <= 1100
            for left in (1050, 1010):  # as if the rest had passed
                client.expire(log, left)
                client.expire(head, 5000)
                await publish()
                assert left - 5 < client.ttl(log) <= left
                assert client.ttl(head) <= 5000
            client.expire(log, 990)
            await publish()
            assert 1095 < client.ttl(log) <= 1100
            assert client.ttl(head) > 5000
            await publish(100)
            assert 105 < client.ttl(log) <= 110, "a shorter time counts at once"
            client.expire(head, 5000)
            await publish(history_size=0)
            assert client.ttl(head) > 5000, "there is no log to go by"

    async def test_what_the_bus_has_held_for_its_time_goes_with_the_heartbeats(
        self, make, server
    ) -> None:
        broker = await make(bus_seconds=1)
        with server.client() as client:
            await beat(broker, "i1")
            await broker.publish([draft("room:a") for _ in range(500)])
            assert client.xlen("ol:{p0}:bus") > 500
            deadline = time.monotonic() + 20
            while (
                client.xlen("ol:{p0}:bus") > 200
            ):  # Redis drops whole parts of a stream, of a hundred entries
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
                await beat(broker, "i1")
            left = [int(entry.split(b"-")[1]) for entry, _ in client.xrange("ol:{p0}:bus")]
        assert left == list(range(left[0], left[0] + len(left)))

    async def test_a_second_without_a_heartbeat_of_its_own_goes_with_a_later_one(
        self, make, server
    ) -> None:
        """A bus that is quiet has no canary each second: what it held then may have been marked three seconds before."""
        broker = await make(bus_seconds=10)
        with server.client() as client:
            await broker.publish([draft("room:a") for _ in range(500)])
            (second,) = (int(time.time()) - 12,)
            client.hset("ol:{p0}:bus:marks", f"s{second % 10}", f"{second} 0-450")
            await beat(broker, "i1")
            assert client.xlen("ol:{p0}:bus") < 200

    async def test_a_clock_that_was_set_back_takes_nothing_off_the_bus(self, make, server) -> None:
        broker = await make(bus_seconds=1)
        with server.client() as client:
            await broker.publish([draft("room:a") for _ in range(500)])
            client.hset("ol:{p0}:bus:marks", "s0", f"{int(time.time()) + 3600} 0-500")
            await beat(broker, "i1")
            assert client.xlen("ol:{p0}:bus") == 501

    async def test_a_head_lives_for_an_hour_until_something_is_published(
        self, broker, server
    ) -> None:
        hour, week = 3600, 7 * 86_400
        await broker.open("room:a", "Epoch1")
        await beat(broker, "i1")
        with server.client() as client:
            assert hour - 5 < client.ttl("ol:{p0}:head:room:a") <= hour
            client.expire("ol:{p0}:head:room:a", hour // 3)
            await broker.listeners("i1", {"room:a": 1, "room:b": 1})
            assert hour - 5 < client.ttl("ol:{p0}:head:room:a") <= hour
            assert not client.exists("ol:{p0}:head:room:b")
            await publish(broker, "room:a", "1")
            assert week - 5 < client.ttl("ol:{p0}:head:room:a") <= week
            await broker.listeners("i1", {"room:a": 1})
            assert week - 5 < client.ttl("ol:{p0}:head:room:a") <= week

    async def test_an_idempotency_key_is_remembered_for_five_minutes(self, broker, server) -> None:
        await broker.publish(
            [draft("room:a", key="amy/k"), draft("room:a", key="amy/e", ephemeral=True)]
        )
        with server.client() as client:
            for key in ("k", "e"):
                assert 295 < client.ttl(f"ol:{{p0}}:seen:room:a amy/{key}") <= 300

    async def test_what_anybody_can_make_goes_by_itself(self, broker, server) -> None:
        """What belongs to nodes and to their members is taken away with their leases."""
        await broker.publish([draft("room:a", key="amy/k")])
        await broker.open("room:b", "Epoch1")
        await broker.drop("room:c")
        await broker.spend({"amy": 1.0}, rate=10, burst=20)
        names = ("home", "layout", "history", "bus", "bus:marks")
        ours = {f"ol:{{p0}}:{name}".encode() for name in names}
        await broker.publish([draft("room:a", "x" * 5000)])
        with server.client() as client:
            lasting = {key for key in client.keys("*") if client.ttl(key) == -1}
        assert lasting == ours

    async def test_a_log_that_was_tampered_with_is_believed_from_its_last_hole_on(
        self, broker, server
    ) -> None:
        stored = await publish(broker, "room:a", "1", "2", "3", "4", "5")
        with server.client() as client:
            client.xdel("ol:{p0}:log:room:a", "3-0")
        since = Position(stored[0].epoch, 1)
        (page,) = await broker.look(0, [Look("room:a", (since,))])
        assert (page.start, [one.offset for one in page.publications]) == (3, [4, 5])

    async def test_nothing_is_kept_of_a_member_whose_place_was_taken(self, broker, server) -> None:
        """A page that is reloaded again and again would fill the set of a node that lives for months."""
        for name in ("i1", "i2"):
            await beat(broker, name)
        await broker.enter("room:a", member("c1", "amy"), "i1", announce=True)
        await broker.leave("room:a", "c1", "i1", announce=True, linger=True)
        await broker.enter("room:a", member("c2", "amy"), "i2", announce=True)
        assert not await broker.leave("room:a", "c1", "i1", announce=True, linger=False)
        with server.client() as client:
            assert client.smembers("ol:{p0}:held:i1") == set()
            assert client.smembers("ol:{p0}:held:i2") == {b"room:a c2"}

    async def test_every_key_belongs_to_us(self, broker, server) -> None:
        await self.test_members_are_paged_with_exact_counts(broker)
        await self.test_buckets_fill_and_overdraw(broker, asyncio.sleep, time.time)
        await publish(broker, "room:a", "1")
        with server.client() as client:
            assert all(key.startswith(b"ol:{p0}:") for key in client.keys("*"))

    async def test_when_all_have_gone_nothing_is_left_of_them(self, broker, server) -> None:
        await beat(broker, "i1")
        await broker.enter("room:a", member("c1"), "i1", announce=True)
        await broker.enter("room:a", member("c2", None), "i1", announce=True)
        await broker.leave("room:a", "c1", "i1", announce=True, linger=True)
        await broker.listeners("i1", {"room:a": 2})
        await broker.resign("i1")
        assert not await broker.reap(0, "i1")
        with server.client() as client:
            left = {key.decode().removeprefix("ol:{p0}:") for key in client.keys("*")}
        assert left == {"home", "layout", "history", "bus", "bus:marks"}


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with given_or_started(tmp_path_factory.mktemp("redis"), "redis") as server:
        yield server


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("valkey"), flavour="valkey") as server:
        yield server


class TestRedis(RedisContract):
    @pytest.fixture
    def server(self, redis):
        return redis


class TestValkey(RedisContract):
    @pytest.fixture
    def server(self, valkey):
        return valkey
