"""Connections to Redis that are reset: every call says `unavailable` at worst, and the next one connects anew."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
import uvloop

from loadtest.chaos.proxy import SteerableProxy
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import Kind, Revocation
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets_redis import RedisTickets
from tests.contract.steps import beat, draft
from tests.support.redis_server import start_redis
from tests.support.revocation_record import whole

pytestmark = pytest.mark.server

REVOKED = Revocation(kind=Kind.TOKEN, value="t1", exp=time.time() + 600)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request, server):
    """Runs `scenario(broker, proxy, ...)`, where the broker comes to its server through the proxy.

    On uvloop, as services do, which raises RuntimeError where asyncio raises OSError; and on asyncio.
    """

    with server.client() as client:
        client.flushall()

    async def scene(scenario, others) -> None:
        async with SteerableProxy(server.port) as proxy:
            broker = RedisBroker(f"redis://127.0.0.1:{proxy.port}/0", lease=30.0)
            try:
                await scenario(broker, proxy, *others)
            finally:
                await broker.close()

    def run(scenario, *others) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scene(scenario, others))

    return run


def calls(broker):
    """Everything that a service asks of Redis in the course of its work, by name."""
    tickets, revocations = RedisTickets(broker.client), RedisRevocations(broker.client)

    async def publish() -> None:
        (result,) = await broker.publish([draft("room:a")])
        if isinstance(result, OpenlineError):
            raise result

    return {
        "publish": publish,
        "issue": lambda: tickets.issue("token", ttl=30),
        "redeem": lambda: tickets.redeem("a" * 43),
        "revoke": lambda: revocations.add(REVOKED),
        "load": lambda: whole(revocations, time.time()),
        "read": lambda: broker.read(0, 0, block=0.05),
        "look": lambda: broker.subscribers(["room:a"]),
        "beat": lambda: beat(broker, "i1"),
    }


async def answered(call) -> None:
    """Ask until it is answered, for half a minute at most."""
    async with asyncio.timeout(30):
        while await outcome(call) is not None:  # noqa: ASYNC110 - each turn asks
            await asyncio.sleep(0.001)


async def outcome(call) -> Code | None:
    try:
        await call()
    except OpenlineError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    "name", ["publish", "issue", "redeem", "revoke", "load", "read", "look", "beat"]
)
def test_after_a_reset_calls_are_answered_on_a_new_connection(run, name):

    async def scenario(broker, proxy, name):
        call = calls(broker)[name]
        assert await outcome(call) is None
        for _ in range(3):
            before = proxy.connections
            proxy.reset()
            await answered(call)
            assert proxy.connections > before

    run(scenario, name)


def test_resets_at_any_moment_are_unavailable_at_worst(run):
    """Whatever raises, in whichever call: nothing but an OpenlineError gets out, or a task that watches would end."""

    async def scenario(broker, proxy):
        over = time.monotonic() + 1.5
        seen: set[Code | None] = set()

        async def ask(call) -> None:
            while time.monotonic() < over:
                seen.add(await outcome(call))
                await asyncio.sleep(0)

        async def disturb() -> None:
            for greeting in itertools.cycle((None, 10, 60, 200, 400)):
                proxy.greeting = greeting
                proxy.reset()
                await asyncio.sleep(0.003)

        every = calls(broker).values()
        disturbing = asyncio.create_task(disturb())
        try:
            await asyncio.gather(*map(ask, every))
        finally:
            disturbing.cancel()
        assert seen <= {None, Code.UNAVAILABLE}
        assert Code.UNAVAILABLE in seen
        proxy.greeting = None
        for call in every:
            await answered(call)

    run(scenario)


def test_a_watch_reads_what_was_revoked_while_it_was_cut_off(run, server):
    """A reader of announcements that was reset connects again, and the record has what it missed."""

    async def scenario(broker, proxy, server):
        revocations = RedisRevocations(broker.client)
        assert len(await whole(revocations)) == 0
        waiting = asyncio.create_task(broker.read(0, 0, block=5.0))
        await proxy.connected(2)
        proxy.reset()
        with pytest.raises(OpenlineError) as caught:
            await waiting
        assert caught.value.code is Code.UNAVAILABLE
        with server.client() as client:
            client.zadd("ol:{p0}:revoked", {REVOKED.member: REVOKED.exp})
        assert len(await whole(revocations, time.time())) == 1
        await broker.control(b"{}")
        assert [entry.fragment for entry in await broker.read(0, 0, block=5.0)] == [b"{}"]

    run(scenario, server)
