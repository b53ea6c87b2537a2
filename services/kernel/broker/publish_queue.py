"""Publishing one by one: what arrives while the store answers goes out together, in its order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from services.kernel.broker.port import Broker, Draft, Published
from services.kernel.domain.codes import Code, OpenlineError

Outcome = Published | OpenlineError

Done = Callable[[Outcome], None]
"""Gets what became of a draft, once and never from within `publish`."""

MAX_BATCH = 500
MAX_WAITING = 20_000
"""Drafts that may wait for the store; beyond, publishing is refused instead of filling the memory."""

MAX_BYTES = 64 * 1024 * 1024
"""What drafts that wait or are under way may hold together; beyond, as above."""

_log = logging.getLogger(__name__)


class PublishQueue:
    """One batch under way a partition: two of them could overtake each other, and one connection's order be lost.

    So a batch grows with the load by itself: the more arrives during a round trip, the less one draft costs.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: list[list[tuple[Draft, Done]]] = [[] for _ in range(broker.partitions)]
        self._bytes = 0
        self._senders: dict[int, asyncio.Task[None] | None] = {}
        """Of the partitions in which a batch is under way; None where the caller itself waits for it."""

    def publish(self, draft: Draft, done: Done) -> None:
        """Store a draft; `done` gets the result later, in the order of the calls of a partition."""
        partition = self._broker.partition(draft.channel)
        waiting = self._waiting[partition]
        if len(waiting) >= MAX_WAITING or self._bytes + len(draft.data) > MAX_BYTES:
            error = OpenlineError(
                Code.UNAVAILABLE,
                "too many messages are waiting to be stored; publish again later",
                retry_after=1,
            )
            asyncio.get_running_loop().call_soon(done, error)
            return
        waiting.append((draft, done))
        self._bytes += len(draft.data)
        if partition not in self._senders:
            self._start(partition)

    async def store(self, draft: Draft) -> Outcome:
        """Store a draft, at once where nothing is under way in its partition: a task between would cost more than that."""
        partition = self._broker.partition(draft.channel)
        size = len(draft.data)
        if partition in self._senders or self._bytes + size > MAX_BYTES:
            outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self.publish(draft, partial(_settle, outcome))
            return await outcome
        self._senders[partition] = None
        self._bytes += size
        try:
            return (await self._store([draft]))[0]
        finally:
            self._bytes -= size
            if self._waiting[partition]:
                self._start(partition)
            else:
                del self._senders[partition]

    def _start(self, partition: int) -> None:
        self._senders[partition] = asyncio.create_task(self._send(partition))

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
                    except Exception:  # noqa: BLE001 - one caller must not leave the others unanswered
                        _log.exception("publish_callback_failed")
        finally:
            del self._senders[partition]

    async def _store(self, drafts: list[Draft]) -> list[Outcome]:
        try:
            return await self._broker.publish(drafts)
        except OpenlineError as error:
            return [error] * len(drafts)
        except Exception:  # noqa: BLE001 - a fault of ours must not leave them waiting
            _log.exception("publish_batch_failed")
            return [OpenlineError(Code.INTERNAL, "the message was not stored")] * len(drafts)


def _settle(outcome: asyncio.Future[Outcome], result: Outcome) -> None:
    if not outcome.done():  # a caller that gave up has cancelled its own
        outcome.set_result(result)
