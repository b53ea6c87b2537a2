"""The server that holds partitions now: what it says of itself, and which partitions live there together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from services.kernel.broker.redis.partitions import Partition, Partitions
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.errors import translate
from services.kernel.redis.servers import spelled
from services.kernel.redis.store_url import Address, StoreUrl, parse


class RefusedError(Exception):
    """The work was not done; the text is one line that says why, and what would be right."""


class Replica(NamedTuple):
    """A replica that follows: where, and up to which byte it has acknowledged."""

    address: Address
    offset: int


class Master(NamedTuple):
    """A running server and the partitions that live there. `run` names this run of it, `replid` its replication."""

    partitions: tuple[int, ...]
    run: str
    replid: str
    replicas: tuple[Replica, ...]
    store: StoreUrl

    def __str__(self) -> str:
        return spelled(self.partitions)


async def masters(redis: Partitions, urls: Sequence[tuple[str, Sequence[int]]]) -> list[Master]:
    """All servers that hold partitions now. `urls` are where which partitions are found. Raises RefusedError."""
    found: dict[str, Master] = {}
    for url, numbers in urls:
        for number in numbers:
            server, replication = await _asked(redis.parts[number])
            run = server["run_id"]
            beside = found[run].partitions if run in found else ()
            found[run] = Master(
                (*beside, number),
                run,
                replication["master_replid"],
                _replicas(replication),
                parse(url),
            )
    return list(found.values())


async def _asked(part: Partition) -> list[dict[str, str]]:
    try:
        async with asyncio.timeout(10):
            replies = await part.writes.ask(("INFO", "server"), ("INFO", "replication"))
    except (RedisError, OSError, ConfigurationError) as error:
        raise RefusedError(f"{spelled([part.number])}: {translate(error).message}") from error
    return [facts(reply) for reply in replies]


def facts(reply: Any) -> dict[str, str]:
    """The fields in a reply to INFO; empty for a refusal."""
    if not isinstance(reply, bytes):
        return {}
    lines = (line.partition(":") for line in reply.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def _replicas(replication: dict[str, str]) -> tuple[Replica, ...]:
    """Those that are in step, in the order in which the server names them."""
    found = []
    for place in range(int(replication.get("connected_slaves", 0))):
        fields = dict(part.partition("=")[::2] for part in replication[f"slave{place}"].split(","))
        if fields["state"] == "online":
            address = Address(fields["ip"], int(fields["port"]))
            found.append(Replica(address, int(fields["offset"])))
    return tuple(found)


def choose(found: Sequence[Master], number: int | None) -> Master:
    """The server that holds the partition; without a number the only one that there is. Raises RefusedError."""
    if number is None:
        if len(found) > 1:
            servers = "; ".join(map(str, found))
            raise RefusedError(
                f"there are {len(found)} servers: name one with --partition, by any of what it holds: {servers}"
            )
        return found[0]
    for master in found:
        if number in master.partitions:
            return master
    last = max(number for master in found for number in master.partitions)
    raise RefusedError(f"--partition {number}: there are partitions 0 to {last}")
