"""Asks nodes of a cluster which of them is the master of each partition."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as Lost

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import sentinel_answers, slots
from services.kernel.redis.connections import Dial
from services.kernel.redis.ending import end
from services.kernel.redis.errors import NoMasterError, NoNodeError
from services.kernel.redis.locator import Locator, Moved
from services.kernel.redis.slots import View
from services.kernel.redis.store_url import Address, StoreUrl

EVERY = 15.0
"""Seconds between two questions while nothing happens."""

PATIENCE = 2.0
"""Seconds for an answer, the connection and its TLS included."""

SETTLE = 0.2
"""Seconds for which the others are waited for once one has answered."""

ASKED = 5
"""Nodes that are asked at a time, of all that are known, chosen at random: most of them count."""

_log = logging.getLogger(__name__)

Answer = View | Exception


class Cluster:
    """The locator of partitions whose masters the nodes of a cluster name. Begins to ask with the first `find`.

    `moved` is called with the partitions whose master is at another address than it was, `masterless` with how many have
    none. `dial` makes what connects to a node by its URL.
    """

    def __init__(
        self,
        store: StoreUrl,
        partitions: Sequence[int],
        *,
        moved: Moved,
        masterless: Callable[[int], None],
        dial: Callable[[str], Dial] = Dial,
    ) -> None:
        self._store = store
        self._moved = moved
        self._masterless = masterless
        self._make = dial
        self._slots = {number: slots.of_partition(number) for number in partitions}
        self._masters: dict[int, Address | None] = dict.fromkeys(self._slots.values())
        self._nodes: frozenset[Address] = frozenset()
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._wake = asyncio.Event()
        self._doubted = False
        self._tries = 0
        self._closed = False

    async def find(self, partition: int) -> Address:
        """As `Locator.find`. While no node can be asked it is where it was last."""
        if self._closed:
            raise Lost("closed")
        if self._task is None:
            self._task = asyncio.create_task(self._watch())
        await self._settled.wait()
        address = self._masters[self._slots[partition]]
        if address is None:
            self.doubt(partition)
            self._refuse(self._slots[partition])
        return address

    def doubt(self, partition: int) -> None:  # noqa: ARG002
        """Ask again at once, and then less and less often for as long as there is doubt."""
        self._doubted = True
        if not self._tries:
            self._wake.set()

    def redirect(self, partition: int, to: Address | None) -> bool:
        """A node says that another one serves the partition's slot: it knows better than what was asked before."""
        if to is None:
            self.doubt(partition)
        else:
            self._adopt({self._slots[partition]: to})
        return True

    async def close(self) -> None:
        """As `Locator.close`."""
        self._closed = True
        if self._task is not None:
            await end(self._task)
        self._settled.set()

    async def _watch(self) -> None:
        while True:
            self._wake.clear()
            try:
                self._note(await self._ask())
            except Exception:  # noqa: BLE001 - a fault of ours must not end the watch
                _log.exception("cluster_watch_failed")
            self._settled.set()
            await self._pause()

    async def _pause(self) -> None:
        """Until it is asked again, unless something wakes us before."""
        seconds = EVERY
        if self._doubted:
            seconds = sentinel_answers.pause(self._tries, random.random())  # noqa: S311 - spreads questions
        self._tries = self._tries + 1 if self._doubted else 0
        self._doubted = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _ask(self) -> list[Answer]:
        """What some nodes say; those that are slower than others are not waited for."""
        every = sorted({*self._store.nodes, *self._nodes})
        asking = {
            asyncio.create_task(self._asked(node))
            for node in random.sample(every, min(ASKED, len(every)))
        }
        waiting, answers = asking, list[Answer]()
        try:
            while waiting:
                heard = any(isinstance(answer, View) for answer in answers)
                done, waiting = await asyncio.wait(
                    waiting,
                    timeout=SETTLE if heard else None,
                    return_when=asyncio.ALL_COMPLETED if heard else asyncio.FIRST_COMPLETED,
                )
                answers += [task.result() for task in done]
                if heard:
                    break
        finally:
            for task in asking:
                task.cancel()
        return answers

    async def _asked(self, node: Address) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE):
                pipe = await self._make(self._store.at(node)).connect()
                try:
                    (reply,) = await pipe.ask(("CLUSTER", "SLOTS"))
                finally:
                    pipe.cut()
            return slots.read(reply, asked=node)
        except (RedisError, OSError, ConfigurationError) as error:
            return error

    def _note(self, answers: Iterable[Answer]) -> None:
        views = [answer for answer in answers if isinstance(answer, View)]
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        was_silent, self._error = self._error is not None, None if views else errors[0]
        if not views:
            if not was_silent:
                _log.warning("cluster_nodes_lost", extra={"reason": str(self._error)})
            return
        if was_silent:
            _log.info("cluster_nodes_regained")
        self._nodes = frozenset[Address]().union(*(view.nodes for view in views))
        self._adopt(slots.choose(self._masters, views))

    def _adopt(self, found: dict[int, Address | None]) -> None:
        """Take these masters of slots for true, and end what is connected to former ones."""
        changed = {slot: now for slot, now in found.items() if self._masters[slot] != now}
        former = {slot: self._masters[slot] for slot in changed}
        self._masters.update(changed)
        self._masterless(sum(master is None for master in self._masters.values()))
        left = [number for number, slot in self._slots.items() if former.get(slot) is not None]
        for number in left:
            slot = self._slots[number]
            _log.warning(
                "master_moved",
                extra={"partition": number, "was": str(former[slot]), "now": str(changed[slot])},
            )
        if left:
            self._moved(left)

    def _refuse(self, slot: int) -> NoReturn:
        if isinstance(self._error, ConfigurationError | AuthenticationError):
            raise self._error
        if self._error is not None:
            raise NoNodeError(f"no node of the cluster answers: {self._error}")
        raise NoMasterError(f"no node of the cluster serves slot {slot}")


_: type[Locator] = Cluster
