"""The bus of one gateway of two is stalled: it moves its clients to the other one and ends, to be started anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest

from loadtest.chaos.proxy import SteerableProxy
from services.kernel.broker.port import Draft, Published
from services.kernel.broker.redis.broker import RedisBroker
from tests.support.redis_server import RedisServer, start_redis
from tests.support.service_process import ServiceProcess
from tests.support.wire import WireClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CHANNEL = "public:all"


class Fleet:
    """Two gateways on one Redis, of which the first reaches it through a proxy."""

    def __init__(
        self,
        redis: RedisServer,
        proxy: SteerableProxy,
        first: ServiceProcess,
        second: ServiceProcess,
        restart_first: Callable[[], Awaitable[ServiceProcess]],
    ) -> None:
        self.redis, self.proxy, self.first, self.second = redis, proxy, first, second
        self.restart_first = restart_first

    async def publish(self, text: str) -> None:
        broker = RedisBroker(self.redis.url)
        (stored,) = await broker.publish(
            [Draft(channel=CHANNEL, data=f'"{text}"'.encode(), meta=b'"ts":1')]
        )
        assert isinstance(stored, Published)
        await broker.close()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(start_redis(tmp_path, "--appendonly", "yes"))
        proxy = await stack.enter_async_context(SteerableProxy(redis.port))
        begins, gateways = [], []
        for name, port in (("first", proxy.port), ("second", redis.port)):
            url = f"redis://127.0.0.1:{port}/0"
            begin = partial(
                ServiceProcess,
                "gateway",
                tmp_path,
                OPENLINE_REDIS_URL=url,
                OPENLINE_NODE=name,
                OPENLINE_DRAIN_SECONDS="2",
            )
            gateway = await asyncio.to_thread(begin)
            stack.push_async_callback(asyncio.to_thread, gateway.stop)
            begins.append(begin)
            gateways.append(gateway)

        async def restart_first() -> ServiceProcess:
            again = await asyncio.to_thread(begins[0], wait_for="/healthz")
            stack.push_async_callback(asyncio.to_thread, again.stop)
            return again

        yield Fleet(redis, proxy, *gateways, restart_first)


async def answers(gateway: ServiceProcess, status: int, *, patience: float = 60) -> None:
    """Wait until a gateway says that it is ready, or not."""
    async with asyncio.timeout(patience), httpx2.AsyncClient() as http:
        while (await http.get(f"{gateway.url}/readyz")).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def moved(gateway: ServiceProcess) -> float:
    """How often a gateway has moved its clients, by its metrics."""
    name = "openline_gateway_evacuations_total "
    lines = httpx2.get(f"{gateway.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).removeprefix(name))


def socket(gateway: ServiceProcess) -> str:
    return f"{gateway.url.replace('http', 'ws', 1)}/ws"


async def test_a_gateway_whose_bus_is_lost_moves_its_clients_and_ends_to_be_started_anew(
    fleet: Fleet,
) -> None:
    client = await WireClient.open(socket(fleet.first))
    await fleet.publish("heard")
    heard = await client.message(CHANNEL)

    before = fleet.proxy.connections
    fleet.proxy.mute = b"XREAD"
    await fleet.publish("missed")
    told = await client.expect("reconnect", patience=60)
    assert told["within"] == 1
    assert await client.wait_closed() == (4100, "1")
    assert [e["data"] for e in client.seen if e["type"] == "message"] == ["heard"]
    assert fleet.proxy.connections >= before + 2, "it made its connection anew before it gave up"
    assert moved(fleet.second) == 0
    assert await asyncio.to_thread(fleet.first.process.wait, 60) == 75
    assert fleet.first.log.count("bus_lost") == 1
    assert (
        "so that its supervisor starts it again: the bus of partitions [0] stays stalled"
        in fleet.first.log
    )

    epoch = client.seen[0]["channels"][CHANNEL]["epoch"]
    since = {CHANNEL: {"epoch": epoch, "offset": heard["offset"]}}
    async with await WireClient.open(socket(fleet.second), since=since) as elsewhere:
        assert (await elsewhere.message(CHANNEL))["data"] == "missed"

    again = await fleet.restart_first()
    await answers(again, 503)  # alive, and not ready: a lasting fault takes no clients
    fleet.proxy.mute = None
    await answers(again, 200)
    async with await WireClient.open(socket(again)) as back:
        await fleet.publish("again")
        assert (await back.message(CHANNEL))["data"] == "again"
