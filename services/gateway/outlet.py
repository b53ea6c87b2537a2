"""Publishing from sockets: what arrives while the store answers goes out together, in its order."""

from __future__ import annotations

import asyncio

import structlog

from services.gateway.host import Done
from services.kernel.broker.port import Broker, Draft, Published
from services.kernel.domain.codes import Code, OpenlineError

MAX_BATCH = 500
MAX_WAITING = 20_000
"""Drafts that may wait for the store; beyond, publishing is refused instead of filling the memory."""

MAX_BYTES = 64 * 1024 * 1024
"""What drafts that wait or are under way may hold together; beyond, as above."""

log = structlog.get_logger(__name__)


class Outlet:
    """One batch under way a partition: two of them could overtake each other, and one connection's order be lost."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: list[list[tuple[Draft, Done]]] = [[] for _ in range(broker.partitions)]
        self._bytes = 0
        self._senders: dict[int, asyncio.Task[None]] = {}

    def publish(self, draft: Draft, done: Done) -> None:
        """Store a draft; `done` gets the result later, in the order of the calls of a partition."""
        partition = self._broker.partition(draft.channel)
        waiting = self._waiting[partition]
        if len(waiting) >= MAX_WAITING or self._bytes + len(draft.data) > MAX_BYTES:
            error = OpenlineError(Code.UNAVAILABLE, "too many messages wait", retry_after=1)
            asyncio.get_running_loop().call_soon(done, error)
            return
        waiting.append((draft, done))
        self._bytes += len(draft.data)
        if partition not in self._senders:
            task = asyncio.create_task(self._send(partition))
            self._senders[partition] = task

    async def _send(self, partition: int) -> None:
        waiting = self._waiting[partition]
        try:
            while waiting:
                batch = waiting[:MAX_BATCH]
                del waiting[:MAX_BATCH]
                results = await self._store([draft for draft, _ in batch])
                self._bytes -= sum(len(draft.data) for draft, _ in batch)
                for (_, done), result in zip(batch, results, strict=True):
                    try:
                        done(result)
                    except Exception:  # one session's end must not leave the others unanswered
                        log.exception("published_failed")
        finally:
            del self._senders[partition]

    async def _store(self, drafts: list[Draft]) -> list[Published | OpenlineError]:
        try:
            return await self._broker.publish(drafts)
        except OpenlineError as error:
            return [error] * len(drafts)
        except Exception:
            log.exception("publish_failed")
            return [OpenlineError(Code.INTERNAL, "the message was not stored")] * len(drafts)
