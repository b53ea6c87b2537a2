"""The replica that takes over had lagged: what was lost is told, and what was revoked stays so."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path

import pytest

from loadtest.chaos.proxy import SteerableProxy
from services.kernel.broker.redis.broker import RedisBroker
from tests.contract.steps import publish
from tests.support.people import People
from tests.support.redis_line import RedisLine, healthy, refused_everywhere, revoke
from tests.support.redis_server import RedisServer, start_redis
from tests.support.traffic import check_continuity
from tests.support.waiting import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]


async def follow(replica: RedisServer, port: int) -> None:
    """Make a server the replica of what listens on the port, and wait until it has everything."""
    with contextlib.closing(replica.client()) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", port)
        async with asyncio.timeout(20):
            while client.info("replication").get("master_link_status") != "up":  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_replica_that_lagged_loses_nothing_in_silence_and_forgets_no_revocation(
    line: RedisLine, tmp_path: Path
) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    with start_redis(tmp_path, "--maxmemory-policy", "noeviction") as replica:
        async with SteerableProxy(line.redis.port) as lag, People(line.stack.run) as people:
            await follow(replica, lag.port)
            alice = await people.connect("alice", gateway=0)
            start = await alice.subscribe(channel)
            for number in range(5):
                known = await people.publish(channel, number)
            with (
                contextlib.closing(line.redis.client()) as here,
                contextlib.closing(replica.client()) as there,
            ):
                offset = here.info("replication")["master_repl_offset"]
                await until(lambda: there.info("replication")["slave_repl_offset"] >= offset)

            lag.hung = True
            mallory = await people.minted("mallory")
            await revoke(people, mallory)
            lost = [await people.publish(channel, number) for number in (5, 6, 7)]
            await alice.expect("message", where=lambda event: event.get("data") == 7)

            line.redis.stop(kill=True)
            with contextlib.closing(replica.client()) as there:
                there.execute_command("REPLICAOF", "NO", "ONE")
            survived = [f"survived {number}" for number in range(30)]
            elsewhere = RedisBroker(replica.url)
            await publish(elsewhere, channel, *(f'"{text}"' for text in survived))
            await elsewhere.close()
            line.proxy.target = replica.port
            line.proxy.reset()
            await line.say(healthy)

            told = await alice.expect("reset", where=lambda event: event["channel"] == channel)
            assert told["epoch"] != known["epoch"] == lost[-1]["epoch"]
            assert told["offset"] == told["began"], "what the new primary stored is nobody's loss"
            again = await people.publish(channel, "after")
            assert again["epoch"] == told["epoch"]
            await alice.expect("message", where=lambda event: event.get("data") == "after")
            heard = check_continuity(alice.seen, channel, (start["epoch"], start["offset"]))
            assert heard == [*range(8), *survived, "after"]

            late = await people.connect("alice", gateway=1)
            position = {"epoch": lost[-1]["epoch"], "offset": lost[-1]["offset"]}
            answer = await late.subscribe(channel, since=position)
            assert answer["recovered"] is False, (
                "what it had is gone: it must not be told otherwise"
            )
            await refused_everywhere(people, mallory)
            await alice.close()
            await late.close()
