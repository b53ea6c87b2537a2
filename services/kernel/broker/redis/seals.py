"""Handovers: a partition is sealed, goes to another server or a new start of its own, and is unsealed there.

The history id stays, so no reader is reset. Sound because replicas and files keep the order of writes: what has the seal has
all that was written before it, and nothing is written after it. Only who made the seal can undo it, and does so once: a
server that comes back later with an old file finds nobody who does.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterable
from typing import NamedTuple

from services.kernel.broker.redis.partitions import Partition, Partitions, fresh, run
from services.kernel.redis.errors import unavailable
from services.kernel.redis.link import Command

LONGEST = 60.0
"""Seconds that a seal may stand at most, as `LONGEST_SEAL` in sealed.lua."""

_REPLID = re.compile(rb"^master_replid:([0-9a-f]+)", re.MULTILINE)


class Seal(NamedTuple):
    """An open handover of a partition. `nonce` is the right to end it: it is told nobody.

    `history` is the id that goes on; `replid` the replication id under which it was sealed.
    """

    partition: int
    history: str
    nonce: str
    replid: str


class State(NamedTuple):
    """A partition's handover: `left` are seconds for which it still stands, 0 when its time is over, None without one."""

    partition: int
    left: float | None


async def seal(redis: Partitions, number: int, *, seconds: float) -> Seal:
    """Have writers of a partition refused for so long at most; readers go on.

    Raises `unavailable` where a handover is open, and ValueError for times that are none.
    """
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"a handover may take up to {LONGEST:.0f} seconds")
    part, nonce = redis.parts[number], secrets.token_hex(16)
    replid = await replication_id(part)
    candidate, trusted, _ = redis.fence()
    command = run("seal", (part.keys.record,), candidate, trusted, nonce, int(seconds * 1000))
    history = await redis.one("seal", part.writes, command)
    return Seal(number, history.decode(), nonce, replid)


async def unseal(redis: Partitions, seal: Seal, *, replid: str) -> bool:
    """Have the partition go on at the server that has this replication id; whether it does.

    To be called for one server only: two that go on under one id would take the same offsets for different messages. For
    the same server it may be called again when the answer was lost.
    """
    part = redis.parts[seal.partition]
    names = (part.keys.record,)
    command = run("unseal", names, seal.nonce, seal.history, replid, again=True)
    return bool(await redis.one("unseal", part.writes, command))


async def break_seal(redis: Partitions, number: int) -> bool:
    """End a handover that nobody finishes; whether one was open. The partition gets a new history id: readers are reset."""
    part = redis.parts[number]
    command = run("break_seal", (part.keys.record,), fresh(), again=True)
    return bool(await redis.one("break_seal", part.writes, command))


async def states(redis: Partitions, numbers: Iterable[int]) -> list[State]:
    """The handovers of partitions."""
    return list(await asyncio.gather(*(_state(redis, redis.parts[number]) for number in numbers)))


async def _state(redis: Partitions, part: Partition) -> State:
    asking = (("HGET", part.keys.record, "seal_until"), ("TIME",))
    commands = [Command(command, again=True) for command in asking]
    until, now = await redis.call("seal_state", part.reads, commands)
    for reply in (until, now):
        if isinstance(reply, Exception):
            raise reply
    if until is None:
        return State(part.number, None)
    if not until.isdigit():  # sealed.lua
        raise unavailable(
            f"partition {part.number} has moved to another server: name that one in OPENLINE_REDIS_SERVERS_FILE"
        )
    left = int(until) / 1000 - int(now[0]) - int(now[1]) / 1e6
    return State(part.number, left if 0 < left <= LONGEST else 0.0)


async def replication_id(part: Partition) -> str:
    """That of the server that is the partition's master now. Raises `unavailable` when it cannot be asked."""
    (reply,) = await part.writes.call([Command(("INFO", "replication"), again=True)])
    found = None if isinstance(reply, Exception) else _REPLID.search(reply)
    if found is None or b"role:master" not in reply:
        raise unavailable("no master can be asked now")
    return found[1].decode()
