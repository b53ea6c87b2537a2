"""The record of revocations keeps its contract, in this process and on Redis."""

from __future__ import annotations

import pytest

from services.kernel.domain.claims import Claims
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Dial
from services.kernel.tokens.known_revocations import KnownRevocations
from services.kernel.tokens.revocations import Kind, Mark, Revocation
from services.kernel.tokens.revocations_memory import MemoryRevocations
from services.kernel.tokens.revocations_redis import RedisRevocations
from tests.support.redis_server import start_redis
from tests.support.revocation_record import whole

TOKEN = Revocation(kind=Kind.TOKEN, value="a:b", exp=200)
SUBJECT = Revocation(kind=Kind.SUBJECT, value="client:x", exp=200, cutoff=100.5)
CLIENT = Revocation(kind=Kind.CLIENT, value="app", exp=200, cutoff=100)


def tokens(count):
    return [Revocation(kind=Kind.TOKEN, value=str(number), exp=200) for number in range(count)]


class RevocationsContract:
    async def test_the_record_holds_what_is_in_force(self, record):
        for one in (TOKEN, SUBJECT, CLIENT):
            await record.add(one)
        revoked = await whole(record, 150)
        assert len(revoked) == 3
        assert revoked.covers(Claims(sub="x", jti="a:b"))
        assert len(await whole(record, 200)) == 0

    async def test_adding_forgets_what_has_ended_and_never_shortens(self, record, clock):
        await record.add(TOKEN)
        await record.add(Revocation(kind=Kind.TOKEN, value="a:b", exp=150))
        (kept,) = await whole(record, 100)
        assert kept.exp == 200
        clock[0] = 300
        await record.add(Revocation(kind=Kind.TOKEN, value="new", exp=400))
        assert [one.value for one in await whole(record, 0)] == ["new"]

    async def test_a_reader_is_told_what_was_added_since(self, record):
        begin = await record.mark()
        assert begin == ("", 0)
        await record.add(TOKEN)
        first = await record.since(begin)
        assert first.added == [(TOKEN.member, 200)]
        assert await record.mark() == first.mark
        assert (await record.since(first.mark)).added == []
        await record.add(SUBJECT, CLIENT)
        assert [member for member, _ in (await record.since(first.mark)).added] == [
            SUBJECT.member,
            CLIENT.member,
        ]

    async def test_a_reader_who_was_long_away_must_read_the_record_whole(self, record):
        await record.add(TOKEN, SUBJECT)
        mark = await record.mark()
        await record.add(*tokens(1500))
        assert await record.since(mark) is None
        assert await record.since(Mark("", 0)) is None

    async def test_who_follows_the_record_knows_all_of_it_whatever_came_between(self, record):
        known = KnownRevocations(record)
        for batch in ([TOKEN], tokens(3), tokens(1500), [SUBJECT], []):
            await record.add(*batch)
            await known.catch_up(150)
            assert len(known.revoked) == len(await whole(record, 150))


class TestMemory(RevocationsContract):
    @pytest.fixture
    def clock(self):
        return [100.0]

    @pytest.fixture
    def record(self, clock):
        return MemoryRevocations(clock=lambda: clock[0])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis"), flavour="valkey") as running:
        yield running


@pytest.mark.server
class TestRedis(RevocationsContract):
    @pytest.fixture
    def clock(self):
        return [100.0]

    @pytest.fixture
    async def record(self, server, clock):
        with server.client() as redis:
            redis.flushall()
        client = Client(Dial(server.url))
        yield RedisRevocations(client, clock=lambda: clock[0])
        await client.close()
