"""What this gateway asks of all of them: control messages that it sends itself."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from services.gateway.node.registry import Registry
from services.kernel.broker.port import Broker
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.control import EndFormer, MoveClients, ProbeUser, encode


class Fleet:
    """The gateways together, this one among them."""

    def __init__(
        self,
        broker: Broker,
        registry: Registry,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._broker = broker
        self._registry = registry
        self._spawn = spawn

    async def order_move(self, proxy: str, seconds: float) -> None:
        """Have the clients that came through one instance of the front door moved, on every gateway.

        Raises `unavailable`.
        """
        await self._broker.control(encode(MoveClients(proxy=proxy, seconds=seconds)))

    def order_probe(self, user: str) -> None:
        """Have the connections of a user asked for a sign of life."""
        self._spawn(self._tell(ProbeUser(user=user)))

    def end_former(self, connection: str, *, user: str | None, client: str) -> None:
        """End the connection that a client had before, here at once, elsewhere by the bus.

        While the store is away it is left to its heartbeat.
        """
        if user is None and not client:
            return  # nobody's: an id alone proves nothing
        former = self._registry.get(connection)
        if former is None:
            self._spawn(self._tell(EndFormer(connection=connection, user=user, client=client)))
        elif former.belongs_to(user, client):
            former.end_former()

    async def _tell(self, message: EndFormer | ProbeUser) -> None:
        with suppress(OpenlineError):
            await self._broker.control(encode(message))
