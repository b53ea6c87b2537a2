"""Heartbeats on their way: those of one gateway that fall due together go to their server in one script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from services.kernel.broker.port import CANARY_SECONDS, QUIET_CANARY_SECONDS, Beat
from services.kernel.broker.redis.partitions import NODES, Partition, Partitions, fresh, run
from services.kernel.domain.codes import OpenlineError
from services.kernel.redis.errors import is_sealed
from services.kernel.redis.link import Command

GATHER = 0.002
"""Seconds for which the first beat waits for the others: timers of one moment come due within a millisecond or so."""

TOGETHER = 4
"""Beats in one script at most, which Redis runs at a stretch. Each of their connections carries the others every so many seconds: one
that has died unnoticed is found by that."""

PATIENCE = 0.5
"""Seconds until a beat whose answer has not come is sent again on its partition's own connection: what keeps one connection
from answering must neither cost another partition its lease nor let it seem away."""


class _Due(NamedTuple):
    part: Partition
    names: Sequence[str]
    own: Sequence[Any]
    answer: asyncio.Future[Any]


class Beats:
    """Sends beats. Only those go together whose own connections are open and lead to one process of one configured server.

    All others go alone, each on its partition's own connection: the first of an incarnation, those of a cluster's slots, one
    that has no company, and **any that was refused or not answered among others**. So whatever a connection finds out
    about its partition (that it is sealed, has moved, or its server is the master no more) is found out by its own.
    """

    def __init__(self, redis: Partitions) -> None:
        self._redis = redis
        self._gathering: dict[tuple[Any, ...], list[_Due]] = {}
        self._turn = count(1)
        self._carried = [0] * redis.partitions

    async def send(self, partition: int, beat: Beat, *, first: bool) -> list[Any]:
        """What the script answers for one partition. Raises OpenlineError.

        `first`: the incarnation has no lease there yet. Such a beat is sent once at a time: one that came late would make
        a lease that has ended.
        """
        part = self._redis.parts[partition]
        k = part.keys
        names = (k.record, k.bus, k.leases, k.ending, k.nodes, k.grace, k.births)
        tail = (int(first), beat.former, int(beat.canary))
        node = beat.node if partition == NODES else b""
        own = (fresh(), beat.incarnation, node, *tail)
        reply = None if first else await self._together(part, names, own)
        if reply is None:
            return await self._alone(part, self._command(names, own))
        self._redis.counters.handovers[partition] = False
        return reply

    async def _alone(self, part: Partition, command: Command) -> list[Any]:
        is_open = False
        try:
            reply: list[Any] = await self._redis.one("beat", part.writes, command)
        except OpenlineError as error:
            is_open = is_sealed(error)
            raise
        finally:
            self._redis.counters.handovers[part.number] = is_open
        return reply

    async def _together(
        self, part: Partition, names: Sequence[str], own: Sequence[Any]
    ) -> list[Any] | None:
        """The answer to a beat that went with others; None where it is to go alone."""
        # In a cluster itself alone: scripts are of one slot.
        beside = self._redis.beside(part.number)
        process = part.writes.process
        if process is None or len(beside) == 1:
            return None
        group = (process, beside[0], beside.index(part.number) // TOGETHER)
        answer: asyncio.Future[list[Any] | None] = asyncio.get_running_loop().create_future()
        due = _Due(part, names, own, answer)
        if group in self._gathering:
            self._gathering[group].append(due)
        else:
            self._gathering[group] = [due]
            await self._carry(group)
        return await answer

    async def _carry(self, group: tuple[Any, ...]) -> None:
        """Gather a group's beats, send them, and give each its answer, whatever comes of it."""
        gathered = self._gathering[group]
        replies: list[Any] = []
        try:
            await asyncio.sleep(GATHER)
            del self._gathering[group]
            if len(gathered) > 1:
                replies = await self._exchange(gathered)
        finally:
            if self._gathering.get(group) is gathered:
                del self._gathering[group]
            replies = replies or [None] * len(gathered)
            for due, reply in zip(gathered, replies, strict=True):
                if not due.answer.done():
                    due.answer.set_result(None if isinstance(reply, Exception) else reply)

    async def _exchange(self, gathered: Sequence[_Due]) -> list[Any]:
        """One reply a beat, exceptions among them; none at all where the call failed or took long."""
        carrier = min((due.part for due in gathered), key=lambda part: self._carried[part.number])
        self._carried[carrier.number] = next(self._turn)
        names = [name for due in gathered for name in due.names]
        command = self._command(names, [arg for due in gathered for arg in due.own])
        try:
            async with asyncio.timeout(PATIENCE):
                replies: list[Any] = await self._redis.one("beat", carrier.writes, command)
        except (OpenlineError, TimeoutError):
            return []
        self._redis.count("beat", len(gathered) - 1, 0)  # one is counted already
        return replies

    def _command(self, names: Sequence[str], own: Sequence[Any]) -> Command:
        options = self._redis.options
        bounds = (options.bus_length, options.bus_bytes, options.memory_percent)
        canaries = (int(CANARY_SECONDS * 1000), int(QUIET_CANARY_SECONDS * 1000))
        args = (
            int(options.trusted_restart),
            *bounds,
            self._redis.lease,
            *canaries,
            options.bus_seconds,
        )
        return run("beat", names, *args, *own, again=True)
