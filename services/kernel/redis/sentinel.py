"""Asks Sentinels where the master is, and listens to them for when it moves."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, NoReturn

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as Lost

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import sentinel_answers, store_url
from services.kernel.redis.access import Access
from services.kernel.redis.connections import Dial
from services.kernel.redis.ending import end
from services.kernel.redis.errors import NoSentinelError
from services.kernel.redis.locator import Locator, Moved
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.sentinel_answers import Answer
from services.kernel.redis.store_url import Address, StoreUrl

EVERY = 1.0
"""Seconds between two questions to each Sentinel, while nothing happens."""

PATIENCE = 1.0
"""Seconds for an answer; a Sentinel that hangs holds up nobody but whoever asks first."""

SETTLE = 0.2
"""Seconds for which the first who asks waits for the others, once one Sentinel has answered: the first may know least."""

EVENTS = ("+promoted-slave", "+switch-master")
"""What the Sentinel that leads a failover says as soon as the new master has taken over, and what all say afterwards."""

_log = logging.getLogger(__name__)


class _Sentinel:
    """One Sentinel: `said` is its last answer, or why there is none; None before it was asked."""

    def __init__(
        self,
        sentinel: store_url.Sentinel,
        name: str,
        *,
        heard: Callable[[], None],
        access: Access | None,
    ) -> None:
        self.said: Answer | Exception | None = None
        self._address = sentinel.address
        self._dial = Dial(sentinel.url, access=access)
        self._name = name
        self._heard = heard
        self._pipe: Pipe | None = None
        self._wake = asyncio.Event()
        self._doubted = False
        self._tries = 0

    def doubt(self) -> None:
        """Ask again at once, and then less and less often for as long as there is doubt."""
        self._doubted = True
        if not self._tries:
            self._wake.set()

    async def ask(self) -> None:
        """Ask again and again, until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    self._note(await self._asked())
                    self._heard()
                except Exception:  # noqa: BLE001 - a fault of ours must not end the watch
                    _log.exception("sentinel_watch_failed")
                await self._pause()
        finally:
            self._drop()

    async def listen(self) -> None:
        """Have it asked whenever a master is replaced, until cancelled. Unheard, it is asked all the same."""
        while True:
            try:
                async with aclosing(self._dial.messages(*EVENTS)) as messages:
                    async for _ in messages:
                        self._wake.set()
            except (RedisError, OSError, ConfigurationError) as error:
                _log.debug("sentinel_listening_failed", extra={"reason": type(error).__name__})
            await asyncio.sleep(EVERY)

    async def _asked(self) -> Answer | Exception:
        try:
            async with asyncio.timeout(PATIENCE):
                pipe = self._pipe = self._pipe or await self._dial.connect()
                address, master = await pipe.ask(
                    ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name),
                    ("SENTINEL", "MASTER", self._name),
                )
            return sentinel_answers.read(address, master, name=self._name)
        except (RedisError, OSError, ConfigurationError) as error:
            self._drop()
            return error

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

    def _note(self, said: Answer | Exception) -> None:
        was_silent, is_silent = isinstance(self.said, Exception), isinstance(said, Exception)
        if is_silent and not was_silent:
            _log.warning(
                "sentinel_lost", extra={"sentinel": str(self._address), "reason": str(said)}
            )
        elif was_silent and not is_silent:
            _log.info("sentinel_regained", extra={"sentinel": str(self._address)})
        self.said = said

    def _drop(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.cut()


class Sentinels:
    """The locator of a master that Sentinels watch, of all partitions alike. Begins to ask with the first `find`.

    `moved` is called with the partitions when the master is at another address than it was: connections to the former one
    must end, which may serve on as if nothing had happened. `silent` is called with how many Sentinels did not answer when
    last asked.
    """

    def __init__(
        self,
        store: StoreUrl,
        partitions: Sequence[int],
        *,
        moved: Moved,
        silent: Callable[[int], None],
        access: Access | None = None,
    ) -> None:
        self._partitions = partitions
        self._moved = moved
        self._silent = silent
        self._master: Answer | None = None
        self._sentinels = [
            _Sentinel(one, store.name, heard=self._decide_soon, access=access)
            for one in store.sentinels
        ]
        self._tasks: list[asyncio.Task[None]] = []
        self._settled = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def find(self, partition: int) -> Address:  # noqa: ARG002
        """As `Locator.find`. While no Sentinel can be asked it is where it was last."""
        if self._closed:
            raise Lost("closed")
        if not self._tasks:
            works: list[Any] = [
                work for one in self._sentinels for work in (one.ask(), one.listen())
            ]
            self._tasks = [asyncio.create_task(work) for work in works]
        if self._master is None:
            await self._settled.wait()
        if self._master is None:
            self._refuse()
        return self._master.address

    def doubt(self, partition: int) -> None:  # noqa: ARG002
        """As `Locator.doubt`."""
        for one in self._sentinels:
            one.doubt()

    def redirect(self, partition: int, to: Address | None) -> bool:  # noqa: ARG002
        """As `Locator.redirect`: Sentinels know of no cluster."""
        return False

    async def close(self) -> None:
        """As `Locator.close`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await end(*self._tasks)
        self._settled.set()

    def _decide_soon(self) -> None:
        """With all that was answered; the first time wait for those that have not."""
        self._silent(sum(isinstance(one.said, Exception) for one in self._sentinels))
        if self._master is not None or all(one.said is not None for one in self._sentinels):
            self._decide()
        elif self._timer is None and any(isinstance(one.said, Answer) for one in self._sentinels):
            self._timer = asyncio.get_running_loop().call_later(SETTLE, self._decide)

    def _decide(self) -> None:
        answers = [one.said for one in self._sentinels if isinstance(one.said, Answer)]
        former, self._master = (
            self._master,
            sentinel_answers.choose(self._master, answers, of=len(self._sentinels)),
        )
        self._settled.set()
        if self._master is None:
            return
        if former is None:
            self._warn(self._master)
        elif former.address != self._master.address:
            _log.warning(
                "master_moved",
                extra={"was": str(former.address), "now": str(self._master.address)},
            )
            self._moved(self._partitions)

    def _warn(self, answer: Answer) -> None:
        for weakness in sentinel_answers.weaknesses(answer, named=len(self._sentinels)):
            _log.warning("sentinel_setup_doubted", extra=weakness._asdict())

    def _refuse(self) -> NoReturn:
        said = [one.said for one in self._sentinels]
        for error in said:
            if isinstance(error, ConfigurationError):
                raise error
        if any(isinstance(error, AuthenticationError | NoPermissionError) for error in said):
            raise ConfigurationError(
                "the Sentinels refuse user name or password: correct sentinel_user and sentinel_password in"
                " OPENLINE_REDIS_URL; what stands before the @ is for the servers"
            )
        raise NoSentinelError(f"none of {len(said)} Sentinels answers: {said[0]}")


_: type[Locator] = Sentinels
