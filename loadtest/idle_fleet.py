"""`python -m loadtest.idle_fleet`: what gateways that have nothing to do cost Redis.

A store of its own, and gateways in one process: each reads every partition's bus and beats, as those with clients do. They
begin one after the other, as processes do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from loadtest.bench import targets
from loadtest.bench.usage import Meter
from services.gateway.fanout.audience import Audience
from services.gateway.hub.hub import Hub
from services.gateway.metrics import Metrics
from services.gateway.node.partition import PartitionWorker
from services.gateway.node.turn import Turn
from services.kernel.broker.port import Beat, Entry
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.ops import pace

WARM = 3.0
"""Seconds after the start: connections, scripts, first beats."""


class Nobody:
    """The sink of hubs that have no channels."""

    def audience(self, channel: str) -> Audience:
        """Nobody subscribes."""
        raise LookupError(channel)

    def control(self, entry: Entry) -> None:
        """Nobody is concerned."""

    def canary(self, entry: Entry, now: float) -> None:
        """The bus arrives."""

    def resynced(self, now: float) -> None:
        """There is nothing to compare."""


def workers(name: str, broker: RedisBroker, metrics: Metrics) -> list[PartitionWorker]:
    """Those of one gateway, which begins now."""
    begun = pace.counted_from(time.monotonic(), time.time())
    beat = Beat(incarnation=name, node=json.dumps({"node": name, "connections": 0}).encode())
    return [
        PartitionWorker(
            number,
            Hub(Nobody(), new_epoch=lambda: name),
            broker,
            beat=lambda: beat,
            on_acknowledged=lambda *_: None,
            metrics=metrics,
            turn=Turn(asyncio.get_running_loop().call_soon),
            begun=begun,
        )
        for number in range(broker.partitions)
    ]


async def run(
    store: targets.Child, *, gateways: int, partitions: int, seconds: float
) -> dict[str, Any]:
    """Let them idle; what the store used, in percent of a core, us of a beat's script, and the commands that it ran a second."""
    url, metrics = f"redis://{targets.HOST}:{store.port}/0", Metrics(CollectorRegistry())
    brokers = [RedisBroker(url, partitions=partitions) for _ in range(gateways)]
    async with asyncio.TaskGroup() as group, Redis.from_url(url) as client:
        tasks: list[asyncio.Task[None]] = []
        for number, broker in enumerate(brokers):
            await broker.start()
            running = [worker.run() for worker in workers(f"gateway-{number}", broker, metrics)]
            tasks += [group.create_task(one) for one in running]
            await asyncio.sleep(1 / gateways)  # they began at different times
        await asyncio.sleep(WARM)
        meter, before = Meter({"store": store.pid}), await client.info("commandstats")
        await asyncio.sleep(seconds)
        cpu, after = meter.cpu()["store"], await client.info("commandstats")
        for task in tasks:
            task.cancel()
    for broker in brokers:
        await broker.close()
    calls = {name: stat["calls"] for name, stat in after.items()}
    for name, stat in before.items():
        calls[name] -= stat["calls"]
    scripts, in_scripts = (
        after["cmdstat_evalsha"][of] - before["cmdstat_evalsha"][of] for of in ("calls", "usec")
    )
    return {
        "core_percent": round(cpu / seconds * 100, 2),
        "beat_us": round(in_scripts / scripts, 1),
        "calls_a_second": {
            name.removeprefix("cmdstat_"): round(count / seconds, 1)
            for name, count in sorted(calls.items())
        },
    }


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.idle_fleet", description=__doc__)
    parser.add_argument("--gateways", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    store = targets.store()
    try:
        sys.stdout.write(json.dumps(uvloop.run(run(store, **vars(given)))) + "\n")
    finally:
        store.stop()


if __name__ == "__main__":
    main()
