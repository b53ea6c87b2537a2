"""Publishing one by one: what arrives while the store answers goes out together, in its order."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from services.kernel.broker.port import Broker, Done, Draft, Outcome
from services.kernel.domain.codes import Code, OpenlineError

MAX_BATCH = 500
MAX_WAITING = 20_000
"""Drafts that may wait for the store; beyond, publishing is refused instead of filling the memory."""

MAX_BYTES = 64 * 1024 * 1024
"""What drafts that wait or are under way may hold together; beyond, as above."""

_NOT_STORED = OpenlineError(Code.INTERNAL, "the message was not stored")

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
        """Of the partitions in which a batch is under way; None for a draft that needs no task."""

    def publish(self, draft: Draft, done: Done) -> None:
        """Store a draft; `done` gets the result later, in the order of the calls of a partition."""
        partition = self._broker.partition(draft.channel)
        waiting, size = self._waiting[partition], len(draft.data)
        if len(waiting) >= MAX_WAITING or self._bytes + size > MAX_BYTES:
            error = OpenlineError(
                Code.UNAVAILABLE,
                "too many messages are waiting to be stored; publish again later",
                retry_after=1,
            )
            asyncio.get_running_loop().call_soon(done, error)
            return
        waiting.append((draft, done))
        self._bytes += size
        if partition not in self._senders:
            self._next(partition)

    def _next(self, partition: int) -> None:
        """Send what waits; one draft without a task, which would cost more than that."""
        waiting = self._waiting[partition]
        if len(waiting) == 1:
            self._senders[partition] = None
            draft, done = waiting.pop()
            stored = partial(self._stored, partition, draft, done)
            try:
                self._broker.publish_one(draft, stored)
            except Exception:  # noqa: BLE001 - a fault of ours must not leave it waiting, and all behind it
                _log.exception("publish_failed")
                asyncio.get_running_loop().call_soon(stored, _NOT_STORED)
        elif waiting:
            self._senders[partition] = asyncio.create_task(self._send(partition))
        else:
            self._senders.pop(partition, None)

    def _stored(self, partition: int, draft: Draft, done: Done, outcome: Outcome) -> None:
        self._bytes -= len(draft.data)
        _tell(done, outcome)
        self._next(partition)

    async def _send(self, partition: int) -> None:
        waiting = self._waiting[partition]
        batch = waiting[:MAX_BATCH]
        del waiting[:MAX_BATCH]
        results = await self._store([draft for draft, _ in batch])
        self._bytes -= sum(len(draft.data) for draft, _ in batch)
        for (_, done), result in zip(batch, results, strict=True):
            _tell(done, result)
        self._next(partition)

    async def _store(self, drafts: list[Draft]) -> list[Outcome]:
        try:
            return await self._broker.publish(drafts)
        except OpenlineError as error:
            return [error] * len(drafts)
        except Exception:  # noqa: BLE001 - a fault of ours must not leave them waiting
            _log.exception("publish_batch_failed")
            return [_NOT_STORED] * len(drafts)


def _tell(done: Done, outcome: Outcome) -> None:
    try:
        done(outcome)
    except Exception:  # noqa: BLE001 - one caller must not leave the others unanswered
        _log.exception("publish_callback_failed")
