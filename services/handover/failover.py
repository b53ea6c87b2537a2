"""A replica that has everything takes the master's place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from services.handover.handover import AGAIN, Handover
from services.handover.masters import Master, RefusedError, Replica, facts
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.access import Access, passwords
from services.kernel.redis.connections import Dial
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.sentinel_answers import taken_for_masters
from services.kernel.redis.store_url import Sentinel

PAUSE = 0.5
"""Seconds between two questions to the Sentinels."""

NEWS = 15.0
"""Seconds within which every Sentinel has asked a replica again what it is: it does so each ten."""

_AWAY = (RedisError, OSError, ConfigurationError)


def check(master: Master) -> None:
    """Refuse where nobody would promote a replica, or there is none. Raises RefusedError."""
    if not master.store.sentinels and not master.store.nodes:
        raise RefusedError(
            "OPENLINE_REDIS_URL names one server, so nobody would follow another: use restart, or name Sentinels or a"
            " cluster"
        )
    if not master.replicas:
        raise RefusedError(
            f"{master}: no replica is in step with the master, so none can take over"
        )


async def until_agreed(master: Master, access: Access, say: Callable[[str], None]) -> None:
    """Wait until no Sentinel takes a replica for a master. Raises RefusedError when one still does after `NEWS`.

    A replica that was a master a while ago, as after an outage, is known as one until a Sentinel asks it again. If it is
    promoted before, that Sentinel has it follow the former master, and what was written meanwhile is lost (sentinel.c,
    `+convert-to-slave`).
    """
    store, known = master.store, ""
    deadline = asyncio.get_running_loop().time() + NEWS
    while not known or asyncio.get_running_loop().time() < deadline:
        doubts = []
        for sentinel in store.sentinels:
            with suppress(*_AWAY):
                reply = await _ask(sentinel, access, ("SENTINEL", "REPLICAS", store.name))
                doubts += [(sentinel.address, one) for one in taken_for_masters(reply)]
        if not doubts:
            return
        before, known = known, "Sentinel {} still takes replica {} for a master".format(*doubts[0])
        if known != before:
            say(f"{known}: waiting until it has asked again")
        await asyncio.sleep(PAUSE)
    raise RefusedError(
        f"{known}, and would have it follow again once it is promoted: see why in the logs of both"
    )


async def by_sentinel(handover: Handover, access: Access) -> str:
    """Have Sentinels promote a replica; the next master's replication id. Raises RefusedError."""
    await handover.copied()
    store, last = handover.master.store, "none"
    for sentinel in store.sentinels:
        try:
            reply = await _ask(sentinel, access, ("SENTINEL", "FAILOVER", store.name))
        except _AWAY as error:
            last = str(error)
            continue
        if isinstance(reply, Exception):
            raise RefusedError(f"Sentinel {sentinel.address} promotes no replica: {reply}")
        handover.say(f"Sentinel {sentinel.address} promotes a replica")
        return await handover.next_replid()
    raise RefusedError(f"no Sentinel can be asked: {last}")


async def _ask(sentinel: Sentinel, access: Access, command: tuple[str, ...]) -> Any:
    pipe = await Dial(sentinel.url, access=access).connect()
    try:
        (reply,) = await pipe.ask(command)
    finally:
        pipe.cut()
    return reply


async def by_node(handover: Handover, access: Access) -> str:
    """Have the replica of a cluster that has most take over; its replication id. Raises RefusedError."""
    await handover.copied()
    replica = max(handover.master.replicas, key=lambda one: one.offset)
    known = passwords(access, renewed=lambda _: None)
    try:
        dial = Dial(handover.master.store.at(replica.address), access=access, passwords=known)
        try:
            pipe = await dial.connect()
        except _AWAY as error:
            raise RefusedError(f"replica {replica.address} cannot be asked: {error}") from error
        try:
            return await _promoted(handover, replica, pipe)
        finally:
            pipe.cut()
    finally:
        if known is not None:
            await known.close()


async def _promoted(handover: Handover, replica: Replica, pipe: Pipe) -> str:
    (reply,) = await pipe.ask(("CLUSTER", "FAILOVER"))
    if isinstance(reply, Exception):
        raise RefusedError(f"replica {replica.address} does not take over: {reply}")
    handover.say(f"replica {replica.address} takes over")
    while handover.left > 0:
        with suppress(*_AWAY):
            (reply,) = await pipe.ask(("INFO", "replication"))
            found = facts(reply)
            if found.get("role") == "master":
                return found["master_replid"]
        await asyncio.sleep(AGAIN)
    raise RefusedError(
        f"replica {replica.address} has not taken over in time: look at its log, or give more time with --seconds"
    )


def how(master: Master, access: Access) -> Callable[[Handover], Awaitable[str]]:
    """The work of a failover of this master."""
    return partial(by_sentinel if master.store.sentinels else by_node, access=access)
