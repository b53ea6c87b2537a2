"""One gateway of two hears nothing of the bus any more: its clients are moved, and it takes none until it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from services.kernel.broker.port import Draft, Published
from services.kernel.broker.redis.broker import RedisBroker
from tests.support.deafening_proxy import DeafeningProxy
from tests.support.redis_server import RedisServer, start_redis
from tests.support.service_process import ServiceProcess
from tests.support.wire import WireClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CHANNEL = "public:all"


class Fleet:
    """Two gateways on one Redis, of which the first reaches it through a proxy."""

    def __init__(
        self,
        redis: RedisServer,
        proxy: DeafeningProxy,
        first: ServiceProcess,
        second: ServiceProcess,
    ) -> None:
        self.redis, self.proxy, self.first, self.second = redis, proxy, first, second

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
        proxy = await stack.enter_async_context(DeafeningProxy(redis.port))
        gateways = []
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
            gateways.append(gateway)
        yield Fleet(redis, proxy, *gateways)


async def answers(gateway: ServiceProcess, status: int, *, patience: float = 20) -> None:
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


async def test_a_deaf_gateway_moves_its_clients_and_takes_some_again_when_it_hears(
    fleet: Fleet,
) -> None:
    client = await WireClient.open(socket(fleet.first))
    await fleet.publish("heard")
    heard = await client.message(CHANNEL)

    fleet.proxy.deaf = True
    await fleet.publish("missed")
    told = await client.expect("reconnect", patience=60)
    assert told["within"] == 1
    assert await client.wait_closed() == (4100, "1")
    assert [e["data"] for e in client.seen if e["type"] == "message"] == ["heard"]
    assert fleet.proxy.readers >= 3, "it made its connection anew before it gave up"
    await answers(fleet.first, 503)
    with pytest.raises(InvalidStatus):
        await WireClient.open(socket(fleet.first))
    assert (moved(fleet.first), moved(fleet.second)) == (1, 0)
    assert fleet.first.log.count("deaf_moving_clients") == 1

    epoch = client.seen[0]["channels"][CHANNEL]["epoch"]
    since = {CHANNEL: {"epoch": epoch, "offset": heard["offset"]}}
    async with await WireClient.open(socket(fleet.second), since=since) as elsewhere:
        assert (await elsewhere.message(CHANNEL))["data"] == "missed"

    fleet.proxy.deaf = False
    await answers(fleet.first, 200)
    async with await WireClient.open(socket(fleet.first)) as back:
        await fleet.publish("again")
        assert (await back.message(CHANNEL))["data"] == "again"
    assert fleet.first.process.poll() is None
