"""A link: one Redis connection shared by many callers, whose commands leave together and in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from msgspec import Struct
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import MovedError, NoScriptError, RedisError
from redis.exceptions import TimeoutError as Late

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import keys
from services.kernel.redis.connections import Check, Dial, Identity
from services.kernel.redis.ending import end
from services.kernel.redis.errors import is_demoted
from services.kernel.redis.futures import settle
from services.kernel.redis.pipe import Done, Pipe
from services.kernel.redis.redirects import REDIRECTS, Guard, Waits
from services.kernel.redis.scripts import Script

_log = logging.getLogger(__name__)

BATCH = 512
"""Commands sent before their replies are read; the others wait for the next round."""


RETIRING = 0.5
"""Seconds that a server has to answer what was sent before its partition moved to another one."""


class Command(Struct, frozen=True, gc=False):
    """One command. `again`: it may run twice, so it is repeated once when the connection is lost before its reply came.

    Commands that share one of `lanes` keep their order even where a script had to be loaded again. `size` says how many
    it counts for in a batch.
    """

    parts: tuple[Any, ...]
    again: bool = False
    lanes: tuple[str, ...] = ()
    size: int = 1


@dataclass(slots=True)
class _Call:
    commands: Sequence[Command]
    done: Done
    replies: list[Any] | None = None
    """To a first try that has failed in part."""


class Link:
    """Connects when first used, and again after a loss. Replies are values; errors are exceptions as values.

    `check` looks at each new connection, and may raise what refuses it. `scripts` are made known to each server.
    `demoted` is called when the server says that it is not the master: it need not end connections made before.
    """

    def __init__(
        self,
        dial: Dial,
        check: Check,
        *,
        demoted: Callable[[], None],
        scripts: Sequence[Script] = (),
        guard: Guard | None = None,
    ) -> None:
        self._dial = dial
        self._check = check
        self._demoted = demoted
        self._identity = Identity(scripts, name=keys.connection(dial.partition))
        self._guard = guard
        self._pipe: Pipe | None = None
        self._retired: Pipe | None = None
        self._away: Exception | None = None  # what kept us from the server the last time
        self._waiting: list[_Call] = []
        self._runner: asyncio.Task[None] | None = None
        self._alone = False  # a call is under way that no task serves
        self._closed = False

    async def call(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands, one each; an exception where a command failed."""
        if not commands:
            return []
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.send(commands, partial(settle, answer))
        return await answer

    def send(self, commands: Sequence[Command], done: Done) -> None:
        """The same without waiting: `done` gets the replies, never from within this call."""
        pipe = self._open()
        if self._runner is not None or self._alone or pipe is None:
            self._waiting.append(_Call(commands, done))
            self._start()
            return
        # Sent once, with no task between: it would cost more than all else that is done here. What fails is a task's.
        self._alone, self._away = True, None
        try:
            pipe.send_whole(self._parts(commands), partial(self._answered, pipe, commands, done))
        except BaseException:  # what cannot be written as a command: it was not sent
            self._alone = False
            raise

    def _answered(
        self, pipe: Pipe, commands: Sequence[Command], done: Done, replies: list[Any]
    ) -> None:
        """What became of a call that no task serves."""
        self._alone = False
        if _any_failed(replies) or pipe.ended:
            self._note(pipe, replies)
            if not self._closed and _any_failed(replies):
                self._waiting.insert(0, _Call(commands, done, replies))
                self._start()
                return
        if self._waiting:
            self._start()
        _give(done, replies)

    def _start(self) -> None:
        if self._runner is None and not self._alone:
            self._runner = asyncio.create_task(self._run())

    def _open(self) -> Pipe | None:
        """The connection, if it may be used."""
        pipe = self._pipe
        return None if pipe is None or pipe.ended or pipe is self._retired else pipe

    def reset(self) -> None:
        """End the connection; the next call makes another."""
        if self._pipe is not None:
            self._pipe.cut()

    def retire(self) -> None:
        """End the connection once what was sent is answered, or after half a second: its server may be dead."""
        if (self._runner is None and not self._alone) or self._pipe is None:
            self.reset()
            return
        self._retired = self._pipe
        asyncio.get_running_loop().call_later(RETIRING, self._pipe.cut)

    def _drop(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.cut()

    async def close(self) -> None:
        """Drop the connection and refuse what still waits."""
        self._closed = True
        runner, self._runner = self._runner, None
        if runner is not None:
            await end(runner)
        self._refuse(Lost("closed"))
        self._drop()

    async def _run(self) -> None:
        while self._waiting:
            calls = self._next_batch()
            commands = [command for call in calls for command in call.commands]
            replies: list[Any] = [Lost("closed")] * len(commands)
            try:
                replies = await self._serve(commands, calls[0].replies)
            except Exception:  # noqa: BLE001 - a fault of ours must not leave every later caller waiting
                _log.exception("redis_batch_failed")
                self._drop()
            finally:
                _hand_out(calls, replies)
            if self._away is not None:
                # Each batch would wait for the connection as long again, and in an outage the queue grow and grow.
                self._refuse(self._away)
        self._runner = None

    def _refuse(self, error: Exception) -> None:
        """Answer everyone that waits with the same error."""
        left, self._waiting = self._waiting, []
        for call in left:
            _hand_out([call], [error] * len(call.commands))

    def _next_batch(self) -> list[_Call]:
        number, size = 0, 0
        for call in self._waiting:
            weight = sum(command.size for command in call.commands)
            if number and (size + weight > BATCH or self._waiting[0].replies is not None):
                break
            number += 1
            size += weight
        calls, self._waiting = self._waiting[:number], self._waiting[number:]
        return calls

    async def _serve(self, commands: Sequence[Command], tried: list[Any] | None) -> list[Any]:
        replies = await self._attempt(commands, tried)
        if any(isinstance(reply, REDIRECTS) for reply in replies):
            await self._follow(commands, replies)
        return replies

    async def _follow(self, commands: Sequence[Command], replies: list[Any]) -> None:
        """Send what did not run again, in its order, until the server that serves the partition has run it."""
        loop = asyncio.get_running_loop()
        waits = Waits(loop.time())
        while self._away is None and (places := _unserved(commands, replies, REDIRECTS)):
            moved = [replies[i] for i in places if isinstance(replies[i], MovedError)]
            error = moved[-1] if moved else replies[places[-1]]
            if not self._dial.redirect(error):
                return
            pause = waits.pause(loop.time(), moved=bool(moved))
            if pause is None:
                self._away = error  # callers wait, and would wait as long again
                return
            if moved:
                self._drop()
            if pause:
                await asyncio.sleep(pause)
            await self._repeat(commands, replies, places, self._attempt)

    async def _attempt(
        self, commands: Sequence[Command], tried: list[Any] | None = None
    ) -> list[Any]:
        replies = await self._exchange(commands) if tried is None else tried
        if not _any_failed(replies):
            return replies
        if self._away is None:  # else it is not asked twice: callers wait
            again = [i for i, reply in enumerate(replies) if _lost(reply) and commands[i].again]
            await self._repeat(commands, replies, again, self._exchange)
        forgotten = _unserved(commands, replies, (NoScriptError,))
        if forgotten:
            # A flush of scripts on a living connection: a new one loads them.
            self._drop()
            await self._repeat(commands, replies, forgotten, self._exchange)
        return replies

    async def _repeat(
        self,
        commands: Sequence[Command],
        replies: list[Any],
        places: list[int],
        send: Callable[[Sequence[Command]], Awaitable[list[Any]]],
    ) -> None:
        if places:
            second = await send([commands[i] for i in places])
            for place, reply in zip(places, second, strict=True):
                replies[place] = reply

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send and read once. What was not answered has the error that ended the connection."""
        self._away = None
        try:
            pipe = await self._connected()
        except (RedisError, OSError, ConfigurationError) as error:
            self._away = error
            self._drop()
            return [error] * len(commands)
        replies = await pipe.send(self._parts(commands))
        self._note(pipe, replies)
        return replies

    def _parts(self, commands: Sequence[Command]) -> Iterable[tuple[Any, ...]]:
        parts = map(_PARTS, commands)
        return parts if self._guard is None else map(self._guard.cover, parts)

    def _note(self, pipe: Pipe, replies: Sequence[Any]) -> None:
        """What replies say of the connection and of its server."""
        if pipe.ended:
            self._drop()
            self._dial.doubt()
        if _any_failed(replies) and any(
            isinstance(reply, Exception) and is_demoted(reply) for reply in replies
        ):
            self._demoted()

    async def _connected(self) -> Pipe:
        if self._pipe is not None and self._open() is None:
            self._drop()
        if self._pipe is None:
            self._retired = None
            self._pipe = await self._dial.connect(prepare=self._prepare)
        return self._pipe

    async def _prepare(self, pipe: Pipe) -> None:
        await self._check(pipe)
        await self._identity.introduce(pipe)

    @property
    def process(self) -> bytes | None:
        """The run id of the server that it is connected to; None while it is not."""
        return None if self._open() is None else self._identity.process

    async def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Plain commands for checks at the start, outside the queue. Raises RedisError or OSError."""
        return await (await self._connected()).ask(*commands)


_PARTS = attrgetter("parts")


def _any_failed(replies: Sequence[Any]) -> bool:
    for reply in replies:  # noqa: SIM110 - a generator costs more, and this is asked with each publish
        if isinstance(reply, Exception):
            return True
    return False


_NOT_RUN = (NoScriptError, *REDIRECTS)


def _lost(reply: object) -> bool:
    return isinstance(reply, Lost | Late | OSError)


def _unserved(
    commands: Sequence[Command], replies: Sequence[Any], refusals: tuple[type[Exception], ...]
) -> list[int]:
    """Commands to be sent again because of such a refusal, unless a later one of a lane of theirs has run, or may have."""
    passed: set[str] = set()
    places: list[int] = []
    for i in range(len(replies) - 1, -1, -1):
        lanes = commands[i].lanes
        if not isinstance(replies[i], _NOT_RUN):
            passed.update(lanes)
        elif isinstance(replies[i], refusals) and passed.isdisjoint(lanes):
            places.append(i)
    return places[::-1]


def _hand_out(calls: Sequence[_Call], replies: Sequence[Any]) -> None:
    start = 0
    for call in calls:
        end = start + len(call.commands)
        _give(call.done, list(replies[start:end]))
        start = end


def _give(done: Done, replies: list[Any]) -> None:
    try:
        done(replies)
    except Exception:  # noqa: BLE001 - one caller must not leave the others unanswered, nor end the connection
        _log.exception("redis_callback_failed")
