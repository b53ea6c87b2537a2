"""Tells every gateway of a revocation at once, through the bus."""

from __future__ import annotations

from typing import Any

from services.kernel.broker.port import Broker
from services.kernel.domain import control
from services.kernel.domain.control import Revoke


class Announcer:
    """An `Announce`: call it with `Revocation.as_dict()`. Raises `unavailable`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __call__(self, revocation: dict[str, Any]) -> None:
        """Put the revocation on the bus."""
        await self._broker.control(control.encode(Revoke(**revocation)))
