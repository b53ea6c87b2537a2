"""A pipe: an open Redis connection whose commands leave together and whose replies come back as one list."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from hiredis import Reader, pack_command
from redis._parsers.base import BaseParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as Late

from services.kernel.redis.futures import settle

_NOT_YET = object()


Done = Callable[[list[Any]], None]
"""Gets replies, one for each command."""


class _Batch:
    """Commands that were sent together. `done` is still to get `size` replies, of which `replies` have come: all together, or
    `in_pieces` as they are read.
    """

    __slots__ = ("done", "in_pieces", "replies", "size")

    def __init__(self, size: int, done: Done, *, in_pieces: bool) -> None:
        self.size = size
        self.replies: list[Any] = []
        self.done = done
        self.in_pieces = in_pieces

    def settle(self) -> None:
        """Hand over what has come."""
        replies, self.replies = self.replies, []
        self.size -= len(replies)
        self.done(replies)


class Pipe(asyncio.Protocol):
    """Sends and reads over the transport of a connection that redis-py has opened, with what it would raise as values.

    redis-py itself wakes a task, guards it with a timeout and copies through a stream for each reply. `patience` are the
    seconds for which nothing may come while an answer is due.
    """

    def __init__(self, connection: AbstractConnection, patience: float) -> None:
        """Take over a connection that redis-py has just opened and will not use again."""
        reader, writer = connection._reader, connection._writer  # noqa: SLF001
        if reader is None or writer is None:
            raise Lost("the connection was closed while it was opened")
        connection._reader = connection._writer = None  # noqa: SLF001
        # Python 3.13 closes the transport of a writer that nobody holds any more.
        self._writer = writer
        self._transport: asyncio.Transport = writer.transport  # type: ignore[assignment]
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._waiting: deque[_Batch] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._error: Exception | None = None
        self._reader = Reader(
            protocolError=InvalidResponse, replyError=self._refusal, notEnoughData=_NOT_YET
        )
        self._transport.set_protocol(self)
        if reader.at_eof():
            self._end(Lost("the server has closed the connection"))

    @property
    def ended(self) -> bool:
        """Whether either side has closed it: what was sent now would be lost, and nobody could tell whether it ran."""
        return self._error is not None or self._transport.is_closing()

    async def ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The replies to commands, one each; an error reply is a value. Raises RedisError or OSError when it ends."""
        replies = await self.send(commands)
        if self._error is not None and replies and replies[-1] is self._error:
            raise self._error
        return replies

    def send(self, commands: Iterable[tuple[Any, ...]]) -> asyncio.Future[list[Any]]:
        """Send commands now. The future has a reply for each; what ended the connection stands where none came."""
        answer: asyncio.Future[list[Any]] = self._loop.create_future()
        self.send_whole(commands, partial(settle, answer))
        return answer

    def send_whole(self, commands: Iterable[tuple[Any, ...]], done: Done) -> None:
        """The same, but `done` gets the replies as the last of them is read: no task need wake for them."""
        packed = list(map(pack_command, commands))
        self._put(_Batch(len(packed), done, in_pieces=False), packed)

    def send_each(self, commands: Iterable[tuple[Any, ...]], take: Done) -> None:
        """The same, but replies are given to `take` as they are read, those that were read at once together.

        What `take` raises ends the connection.
        """
        packed = list(map(pack_command, commands))
        self._put(_Batch(len(packed), take, in_pieces=True), packed)

    def _put(self, batch: _Batch, packed: Sequence[bytes]) -> None:
        if self._error is not None or not packed:
            batch.replies += [self._error] * batch.size
            batch.settle()
            return
        if not self._waiting:
            self._heard = self._loop.time()
            if self._timer is None:
                self._timer = self._loop.call_later(self._patience, self._look)
        self._waiting.append(batch)
        try:
            self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))
        except RuntimeError as error:  # uvloop's, where a reset came a moment ago
            self._end(Lost(f"the connection was lost: {error}"))

    def cut(self) -> None:
        """End the connection under whoever is using it: they find it lost."""
        self._end(Lost("the connection was cut"))

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._heard = self._loop.time()
        self._reader.feed(data)
        try:
            while self._waiting and self._fill(self._waiting[0]):
                self._waiting.popleft().settle()
            if self._waiting and self._waiting[0].in_pieces and self._waiting[0].replies:
                self._waiting[0].settle()
        except RedisError as error:
            self._end(error)
        else:
            if not self._waiting and self._reader.has_data():
                self._end(InvalidResponse("a reply came that nobody had asked for"))

    def eof_received(self) -> None:
        """See asyncio.Protocol."""
        self._end(Lost("the server has closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._end(Lost(f"the connection was lost: {exc}"))

    def _fill(self, batch: _Batch) -> bool:
        """Take the replies that have come; whether those were all. Raises what ends the connection."""
        replies, gets = batch.replies, self._reader.gets
        while len(replies) < batch.size:
            reply = gets()
            if reply is _NOT_YET:
                return False
            if isinstance(reply, Lost):
                raise reply  # such as LOADING or NOAUTH: the server says that it serves nobody on this connection
            replies.append(reply)
        return True

    def _end(self, error: Exception) -> None:
        if self._error is not None:
            return
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        while self._waiting:
            batch = self._waiting.popleft()
            batch.replies += [error] * (batch.size - len(batch.replies))
            batch.settle()

    def _look(self) -> None:
        """Whether an answer is overdue; one timer for all batches, restarted only while any is due."""
        self._timer = None
        if not self._waiting:
            return
        left = self._heard + self._patience - self._loop.time()
        if left <= 0:
            self._end(Late("the server has not answered in time"))
        else:
            self._timer = self._loop.call_later(left, self._look)

    @staticmethod
    def _refusal(text: str) -> Exception:
        """redis-py's exception for an error reply."""
        if text.startswith(
            "WRONGPASS"
        ):  # what was authenticated before stays so: no connection is lost
            return ResponseError(text)
        error: Exception = BaseParser.parse_error(text)  # type: ignore[no-untyped-call] # redis-py
        return error
