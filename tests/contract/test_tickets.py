"""Tickets keep their contract, in this process and on Redis: redeemed once, whoever asks, and not for long."""

from __future__ import annotations

import asyncio

import pytest

from services.kernel.redis.client import Client
from services.kernel.redis.connections import Dial
from services.kernel.tokens.tickets_memory import MemoryTickets
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.support.redis_server import start_redis


class TicketsContract:
    async def test_of_many_who_ask_one_redeems_a_ticket(self, tickets):
        ticket = await tickets.issue("the.token.itself", ttl=30)
        answers = await asyncio.gather(*(tickets.redeem(ticket) for _ in range(20)))
        assert sorted(answers, key=str) == [None] * 19 + ["the.token.itself"]

    async def test_each_ticket_stands_for_its_own_token(self, tickets):
        first, second = await tickets.issue("a", ttl=30), await tickets.issue("b", ttl=30)
        assert first != second
        assert (await tickets.redeem(second), await tickets.redeem(first)) == ("b", "a")

    async def test_a_ticket_ends(self, tickets, pass_time):
        ticket = await tickets.issue("token", ttl=0.05)
        later = await tickets.issue("later", ttl=60)
        await pass_time(0.1)
        assert await tickets.redeem(ticket) is None
        assert await tickets.redeem(later) == "later"

    async def test_what_is_no_ticket_stands_for_nothing(self, tickets):
        await tickets.issue("token", ttl=30)
        for text in ("", "x", "é" * 43, "a" * 43, "a" * 43 + "\n", "a" * 100_000):
            assert await tickets.redeem(text) is None


class TestMemory(TicketsContract):
    @pytest.fixture
    def clock(self):
        return [100.0]

    @pytest.fixture
    def tickets(self, clock):
        return MemoryTickets(clock=lambda: clock[0])

    @pytest.fixture
    def pass_time(self, clock):
        async def passing(seconds):
            clock[0] += seconds

        return passing

    async def test_issuing_forgets_those_that_ended(self, tickets, pass_time):
        for _ in range(100):
            await tickets.issue("token", ttl=1)
        await pass_time(2)
        await tickets.issue("token", ttl=1)
        assert len(tickets._kept) == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.mark.server
class TestRedis(TicketsContract):
    @pytest.fixture
    async def tickets(self, server):
        client = Client(Dial(server.url))
        yield RedisTickets(client)
        await client.close()

    @pytest.fixture
    def pass_time(self):
        return asyncio.sleep
