"""A gateway whose bus is lost moves its clients to a healthy peer and ends; without one it stays."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from services.gateway.node.bus_health import BusHealth
from services.gateway.node.failover import Failover
from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import Beat, Beaten


class Lost:
    """A gateway whose second of two partitions is lost; `did` is what its failover has done."""

    def __init__(self):
        self.broker = MemoryBroker()
        self.did = []
        self.now = 131.0
        self.workers = [SimpleNamespace(partition=n, beaten_at=131.0, position=0) for n in range(2)]
        self.bus_health = BusHealth(self.workers)
        self.bus_health.acknowledged(1, Beaten(history="H", bus=1), 100)
        self.failover = Failover(
            self.bus_health,
            self.broker,
            name="here",
            drain=self._drain,
            end=self.did.append,
            now=lambda: self.now,
        )

    async def _drain(self):
        self.did.append("drained")
        await asyncio.sleep(0)

    async def peer(self, lag=0.0):
        node = b'{"node":"there","lag":%g,"draining":false}' % lag
        await self.broker.beat(0, Beat(incarnation="there", node=node))


@pytest.fixture
def lost():
    return Lost()


async def test_clients_are_moved_before_it_ends_with_a_reason(lost):
    await lost.peer()
    assert (lost.failover.due, lost.failover.active) == (True, False)
    await lost.failover.run()
    assert lost.did[0] == "drained"
    assert "partitions [1] stays stalled" in lost.did[1]
    assert (lost.failover.due, lost.failover.active) == (False, True)
    await lost.failover.run()
    assert len(lost.did) == 2


async def test_nobody_is_moved_while_no_peer_is_healthy(lost):
    await lost.failover.run()
    await lost.peer(lag=20)
    await lost.failover.run()
    lost.broker.down = True
    await lost.failover.run()
    assert lost.did == []
    assert (lost.failover.due, lost.failover.active) == (True, False)


async def test_a_bus_that_arrives_while_peers_are_asked_calls_it_off(lost):
    await lost.peer()
    looking = asyncio.create_task(lost.failover.run())
    lost.workers[1].position = 1
    await looking
    assert (lost.did, lost.failover.active, lost.failover.due) == ([], False, False)


async def test_peers_are_asked_by_one_run_at_a_time(lost):
    nodes, gate = lost.broker.nodes, asyncio.Event()

    async def slow():
        await gate.wait()
        return await nodes()

    lost.broker.nodes = slow
    await lost.peer()
    looking = asyncio.create_task(lost.failover.run())
    await asyncio.sleep(0)
    assert not lost.failover.due
    gate.set()
    await looking
    assert lost.failover.active
