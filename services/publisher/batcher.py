"""Joins what several requests publish in one turn of the event loop into one round trip to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from services.kernel.broker.port import Draft, Published
from services.kernel.domain.codes import OpenlineError

Outcome = Published | OpenlineError

MAX_DRAFTS = 1000
"""Drafts in one call: a burst of requests must not build one reply that blocks the store for long."""


class Store(Protocol):
    """The part of the broker that is needed here."""

    async def publish(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """As `Broker.publish`."""


class _Waiting(NamedTuple):
    drafts: Sequence[Draft]
    done: asyncio.Future[list[Outcome]]


class Batcher:
    """Collects drafts until the loop's turn ends. Drafts leave in the order in which they came."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._flushing: set[asyncio.Task[None]] = set()

    async def publish(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """One outcome a draft, in order. Never raises for the store: an outage is each draft's outcome."""
        if not drafts:
            return []
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Outcome]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append(_Waiting(drafts, done))
        return await done

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        # One task sends all parts one after the other: two at once could swap drafts of one channel.
        task = asyncio.get_running_loop().create_task(self._send(waiting))
        self._flushing.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._flushing.discard)

    async def _send(self, waiting: list[_Waiting]) -> None:
        while waiting:
            part, waiting = _part(waiting)
            try:
                _settle(part, await self._outcomes([d for some in part for d in some.drafts]))
            except Exception as error:  # noqa: BLE001 - a bug: each request fails with it, none waits for ever
                for some in part:
                    if not some.done.done():
                        some.done.set_exception(error)

    async def _outcomes(self, drafts: list[Draft]) -> list[Outcome]:
        try:
            return await self._store.publish(drafts)
        except OpenlineError as error:
            return [error] * len(drafts)


def _settle(part: list[_Waiting], outcomes: list[Outcome]) -> None:
    at = 0
    for some in part:
        if not some.done.done():  # a client that went away has cancelled its own
            some.done.set_result(outcomes[at : at + len(some.drafts)])
        at += len(some.drafts)


def _part(waiting: list[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """As many as make up MAX_DRAFTS, at least one, and the rest."""
    count = 0
    for i, some in enumerate(waiting):
        count += len(some.drafts)
        if i and count > MAX_DRAFTS:
            return waiting[:i], waiting[i:]
    return waiting, []
