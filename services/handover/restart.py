"""A server restarts with its file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from services.handover.handover import Handover
from services.handover.masters import Master, RefusedError
from services.kernel.broker.redis.partitions import Partition


async def check(part: Partition, master: Master) -> bool:
    """Refuse a server that would not come back as it was; whether it writes an append-only file. Raises RefusedError."""
    if master.store.sentinels or (master.store.nodes and master.replicas):
        raise RefusedError(
            "a replica would be promoted meanwhile: use failover, and restart the former master as a replica"
        )
    aof, save = map(_value, await part.writes.ask(*(_config("appendonly"), _config("save"))))
    if aof == b"no" and not save:
        raise RefusedError(
            "this server keeps no file, so a restart loses everything: set appendonly yes, and try again"
        )
    return aof != b"no"


def _config(name: str) -> tuple[str, ...]:
    return ("CONFIG", "GET", name)


def _value(reply: Any) -> bytes | None:
    """What CONFIG GET tells; None where it is not told."""
    return reply[1] if isinstance(reply, list) and len(reply) == 2 else None  # noqa: PLR2004 - name, value


async def by_command(handover: Handover, command: Sequence[str]) -> str:
    """Have a command restart the server. Raises RefusedError where it fails."""
    try:
        process = await asyncio.create_subprocess_exec(*command)
    except OSError as error:
        raise RefusedError(f"{command[0]} cannot be run: {error.strerror}") from error
    handover.say(f"running {command[0]}")
    try:
        async with asyncio.timeout(handover.left):
            status = await process.wait()
    except TimeoutError:
        raise RefusedError(
            f"{command[0]} has not ended in time: give more time with --seconds"
        ) from None
    finally:
        if process.returncode is None:
            process.terminate()
    if status != 0:
        raise RefusedError(f"{command[0]} ended with status {status}")
    return await handover.next_replid()


async def by_shutdown(handover: Handover, *, aof: bool) -> str:
    """Have the server end, with its file written; whoever keeps it running starts it again. Raises RefusedError."""
    part = handover.redis.parts[handover.master.partitions[0]]
    order = ("SHUTDOWN",) if aof else ("SHUTDOWN", "SAVE")
    try:
        (reply,) = await part.writes.ask(order)
    except (RedisError, OSError):
        handover.say("the server has ended")
    else:
        raise RefusedError(f"the server refuses to end: {reply}")
    return await handover.next_replid()
