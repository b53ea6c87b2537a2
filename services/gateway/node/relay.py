"""Commands that came here for a stream on another gateway: handed over by the bus, and answered by it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter

from services.gateway.node.registry import Registry
from services.gateway.session.streamed import StreamedSession
from services.kernel.broker.port import Broker
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.control import CarryCommands, CommandsTaken, encode
from services.kernel.protocol import bodies

ANSWER_SECONDS = 5.0
"""In which the gateway that has the stream must have answered: none does when the connection is gone."""

MAX_WAITING = 1000
"""Requests that wait here for an answer at once."""

log = structlog.get_logger(__name__)


class Relay:
    """One gateway's end of it, for those it hands over and for those that are handed to it."""

    def __init__(
        self,
        broker: Broker,
        registry: Registry,
        *,
        relayed: Counter,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`relayed` counts by outcome."""
        self._broker = broker
        self._registry = registry
        self._relayed = relayed
        self._spawn = spawn
        self._waiting: dict[str, asyncio.Future[CommandsTaken]] = {}

    def here(self, connection: str) -> StreamedSession | None:
        """The stream of a connection, if it is on this gateway."""
        session = self._registry.get(connection)
        return session if isinstance(session, StreamedSession) else None

    async def send(self, connection: str, digest: str, commands: Sequence[msgspec.Raw]) -> bool:
        """Hand commands to the gateway that has the stream; False when none says that it has it.

        Raises what that one refuses them by, or `unavailable`.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise OpenlineError(
                Code.UNAVAILABLE, "too many commands are on their way", retry_after=1
            )
        request = secrets.token_hex(8)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[request] = answer
        message = CarryCommands(
            connection=connection, digest=digest, request=request, commands=list(commands)
        )
        try:
            await self._broker.control(encode(message))
            async with asyncio.timeout(ANSWER_SECONDS):
                taken = await answer
        except TimeoutError:
            self._relayed.labels("unanswered").inc()
            log.debug("relay_unanswered", connection=connection)
            return False
        except OpenlineError:
            self._relayed.labels("unavailable").inc()
            raise
        finally:
            del self._waiting[request]
        self._judge(taken)
        return True

    def _judge(self, taken: CommandsTaken) -> None:
        self._relayed.labels("refused" if taken.code else "taken").inc()
        if taken.code:
            raise OpenlineError(_code(taken), taken.message, retry_after=taken.retry_after)

    def carry(self, message: CarryCommands) -> None:
        """Another gateway hands commands over; answered if their stream is here."""
        session = self.here(message.connection)
        if session is None:
            return
        taken = CommandsTaken(request=message.request)
        try:
            session.deliver(
                bodies.texts(message.commands), digest=message.digest, request=message.request
            )
        except OpenlineError as error:
            taken = CommandsTaken(
                request=message.request,
                code=error.code.value,
                message=error.message,
                retry_after=error.retry_after,
            )
        self._spawn(self._answer(taken))

    async def _answer(self, taken: CommandsTaken) -> None:
        with suppress(OpenlineError):  # who waits for it gives up by itself
            await self._broker.control(encode(taken))

    def taken(self, message: CommandsTaken) -> None:
        """A gateway has answered, perhaps this one."""
        answer = self._waiting.get(message.request)
        if answer is not None and not answer.done():
            answer.set_result(message)


def _code(taken: CommandsTaken) -> Code:
    """The code of a refusal. A newer gateway may know one that clients of this one need not know."""
    try:
        return Code(taken.code)
    except ValueError:
        return Code.INTERNAL if taken.retry_after is None else Code.UNAVAILABLE
