"""Partition 0 moves, which has tickets and revocations: none is lost, none counts twice, and nobody asks the old server."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest

from loadtest.chaos.proxy import SteerableProxy
from services.handover.move import Move
from services.kernel.broker.redis import seals
from services.kernel.broker.redis.partitions import Options, Partitions
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Dial
from services.kernel.redis.keys import Keys
from services.kernel.redis.link import Command
from services.kernel.redis.servers import Server
from services.kernel.tokens.known_revocations import KnownRevocations
from services.kernel.tokens.revocations import Kind, Revocation
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets import digest
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.contract.steps import draft, head, publish, publish_one
from tests.contract.test_redis_moving import Map, move, moving, refusal, service
from tests.support.redis_server import start_redis
from tests.support.waiting import until

pytestmark = pytest.mark.server

KEYS = Keys(0)


@pytest.fixture(scope="module", params=["redis to valkey", "valkey to valkey", "redis to redis"])
def running(request, tmp_path_factory):
    found = Map(tmp_path_factory.mktemp("moving"), 0, request.param.split(" to "))
    yield found
    found.stop()


def revocation(name):
    return Revocation(kind=Kind.TOKEN, value=name, exp=time.time() + 600)


def channel(broker):
    """The name of a channel that lives in partition 0."""
    return next(name for n in range(99) if broker.partition(name := f"room:{n}") == 0)


async def refused(call) -> OpenlineError:
    with pytest.raises(OpenlineError) as caught:
        await call
    return caught.value


async def again(call, *args, **options):
    """The result of a call that may be refused for the moment."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call(*args, **options)
            except OpenlineError as error:
                if error.code is not Code.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.01)


class Logins:
    """Whoever logs in: each issues tickets and has two services redeem each, or keeps it."""

    def __init__(self, *brokers):
        self.tickets = [RedisTickets(broker.client) for broker in brokers]
        self.kept, self.answers, self.refused, self.done = {}, {}, 0, asyncio.Event()

    async def run(self, name):
        number = 0
        while not self.done.is_set():
            number += 1
            token = f"{name}-{number}"
            try:
                ticket = await self.tickets[number % 2].issue(token, ttl=120)
            except OpenlineError as error:
                if (error.code, error.retry_after) != (Code.UNAVAILABLE, 1.0):
                    raise
                self.refused += 1
                await asyncio.sleep(0.005)
                continue
            if number % 3 == 0:
                self.kept[token] = ticket
            else:
                both = (again(tickets.redeem, ticket) for tickets in self.tickets)
                self.answers[token] = ticket, await asyncio.gather(*both)
            await asyncio.sleep(0.001)

    async def more(self, count):
        before = len(self.answers)
        async with asyncio.timeout(30):
            while len(self.answers) < before + count:  # noqa: ASYNC110 - each turn asks
                await asyncio.sleep(0.01)


async def test_under_logins_no_ticket_is_lost_and_none_is_redeemed_twice(at):
    async with service(at) as one, service(at) as other:
        name = channel(one)
        first = await publish_one(one, draft(name))
        logins = Logins(one, other)
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(logins.run(f"amy{number}"))
            await logins.more(50)
            said = await move(at)
            before = len(logins.answers)
            await logins.more(50)
            logins.done.set()
        assert logins.refused, said
        assert before > 50
        for token, (ticket, answers) in logins.answers.items():
            # Neither has it where the answer to the one that got it was lost, as it may be at any time.
            assert sorted(answers, key=str) in ([None, token], [None, None])
            assert await logins.tickets[0].redeem(ticket) is None
        unanswered = sum(answers == [None, None] for _, answers in logins.answers.values())
        assert unanswered <= 2
        for token, ticket in logins.kept.items():
            assert await logins.tickets[0].redeem(ticket) == token
        second = await publish_one(other, draft(name))
        assert (second.epoch, second.offset) == (first.epoch, 2)
        with at.servers[0].client() as client:
            assert sorted(client.keys(KEYS.every)) == sorted(
                [KEYS.home.encode(), KEYS.record.encode()]
            )


@pytest.mark.parametrize(("lost", "redeemed"), [("answers", None), ("requests", "token")])
async def test_a_redemption_that_was_lost_before_the_move_is_told_by_the_new_server(
    at, lost, redeemed
):
    async with SteerableProxy(at.servers[0].port) as proxy:
        line = (Server(f"redis://127.0.0.1:{proxy.port}/0", (0, 1)),)
        async with service(at, line) as broker:
            tickets = RedisTickets(broker.client)
            ticket = await tickets.issue("token", ttl=120)
            proxy.swallows = lost
            key = KEYS.ticket(digest(ticket)).encode()
            redeeming = asyncio.create_task(again(tickets.redeem, ticket))
            with at.servers[0].client() as client:
                await until(
                    lambda: (
                        proxy.count_saying(b"GETDEL")
                        and (lost == "requests") == bool(client.exists(key))
                    )
                )

            async def install():
                proxy.swallows = ""
                await at.install()

            async with moving(at) as (it, _):
                await it.run(install)
            assert await redeeming == redeemed
            assert await again(tickets.redeem, ticket) is None


async def test_where_it_has_moved_from_a_ticket_stands_for_nothing_whoever_asks(at):
    async with service(at) as broker:
        ticket = await RedisTickets(broker.client).issue("token", ttl=120)
        late = Client(Dial(at.servers[0].url))  # looks at no home
        await late.read(Command(("PING",)), what="nothing")
        await move(at)
        for call in (RedisTickets(late).redeem(ticket), RedisTickets(late).issue("x", ttl=120)):
            error = await refused(call)
            assert "has moved to another server" in error.message
            assert (error.code, error.retry_after) == (Code.UNAVAILABLE, 1.0)
        error = await refused(RedisRevocations(late).add(revocation("t1")))
        assert (error.code, error.retry_after) == (Code.UNAVAILABLE, 1.0)
        assert await again(RedisTickets(broker.client).redeem, ticket) == "token"
        await late.close()


async def test_until_a_service_has_the_new_map_it_redeems_nothing(at):
    async with service(at) as broker:
        tickets = RedisTickets(broker.client)
        ticket = await tickets.issue("token", ttl=120)
        async with moving(at) as (it, _):
            await it.run(lambda: asyncio.sleep(0))
        for _ in range(3):
            assert "has moved to another server" in (await refused(tickets.redeem(ticket))).message
        with at.servers[0].client() as client:
            assert not client.exists("ol:{p0}:layout"), "nothing is begun there"
        at.file = at.after
        assert await again(tickets.redeem, ticket) == "token"
        at.file = at.before
        with pytest.raises(ConfigurationError, match="partition 0 has moved to another server"):
            async with service(at):
                pass


async def test_what_was_revoked_goes_with_it_and_who_only_reads_follows(at, monkeypatch):
    """Also where the old server lets nobody end connections: an empty record must not pass for one without revocations."""

    async def end_nothing(*_):
        pass

    monkeypatch.setattr(Move, "_end_connections", end_nothing)
    async with service(at) as writer, service(at) as reader:
        record = RedisRevocations(writer.client)
        known = KnownRevocations(RedisRevocations(reader.client))
        await known.catch_up(time.time())
        await record.add(revocation("before"))
        await move(at)
        await again(record.add, revocation("after"))
        assert "has moved to another server" in (await refused(known.catch_up(time.time()))).message
        await again(known.catch_up, time.time())
        assert {member for member, _ in known.revoked.items()} == {
            revocation(name).member for name in ("before", "after")
        }
        with at.servers[0].client() as client:
            assert not client.exists(KEYS.revoked)


async def test_a_ticket_redeemed_when_the_time_was_over_stops_the_move(at, monkeypatch):
    async with service(at) as broker:
        tickets = RedisTickets(broker.client)
        ticket = await tickets.issue("token", ttl=120)

        async def late(*_):
            with at.servers[0].client() as server:
                server.hset(KEYS.record, "seal_until", round(time.time() * 1000) - 1)
                assert await tickets.redeem(ticket) == "token"
                # A clock that is set back makes it stand again.
                server.hset(KEYS.record, "seal_until", round(time.time() * 1000) + 30_000)
            return 0

        with monkeypatch.context() as patched:
            patched.setattr("services.handover.move.Copy.compare", late)
            assert "the seal was broken" in await refusal(at)
        with at.servers[0].client() as server:
            server.hdel(KEYS.record, "seal", "seal_until")
        assert await again(tickets.redeem, ticket) is None
        await move(at)
        assert await again(tickets.redeem, ticket) is None


async def test_a_control_message_is_heard_once_through_the_move(at):
    async with service(at) as writer, service(at) as reader:
        name = channel(writer)
        await publish(writer, name, "1")
        position = (await head(reader, name)).bus
        await writer.control(b'{"n":1}')
        await move(at)
        await again(writer.control, b'{"n":2}')
        heard = []
        async with asyncio.timeout(30):
            while len(heard) < 2:
                with suppress(OpenlineError):
                    heard += await reader.read(0, position + len(heard), block=0.1)
        assert [entry.fragment for entry in heard] == [b'{"n":1}', b'{"n":2}']


async def test_a_replica_that_may_be_written_to_takes_no_ticket(at, tmp_path):
    master = at.servers[0]
    options = ("--replicaof", "127.0.0.1", str(master.port), "--replica-read-only", "no")
    with start_redis(tmp_path, *options, flavour=master.flavour) as replica:
        with replica.client() as client:
            await until(lambda: client.info("replication")["master_link_status"] == "up")

        async def whoever(_):
            pass

        there = Client(Dial(replica.url), check=whoever)
        tickets = RedisTickets(there)
        for call in (tickets.issue("x", ttl=9), tickets.redeem("a" * 43)):
            assert "is not the master now" in (await refused(call)).message
        await there.close()


async def test_what_dies_after_the_switch_is_finished_by_another_run(at, monkeypatch):
    async with service(at) as broker:
        tickets = RedisTickets(broker.client)
        ticket = await tickets.issue("token", ttl=120)

        async def die(*_):
            raise ConnectionResetError("gone")

        with monkeypatch.context() as patched:
            patched.setattr(Move, "_arrive", die)
            assert "run this again" in await refusal(at)
        await refused(tickets.redeem(ticket))
        await move(at)
        assert await again(tickets.redeem, ticket) == "token"
        store = Partitions(at.after, options=Options())
        assert [state.left for state in await seals.states(store, [0, 1])] == [None, None]
        await store.close()
