"""Faults of services: they are ended, stopped for a while, or told to begin anew."""

from __future__ import annotations

import signal
from typing import ClassVar

from loadtest.chaos.acts import LONG, Act, Cost

READY_SECONDS = 30.0


class _Service(Act):
    number: ClassVar[signal.Signals]
    service: ClassVar[str] = ""

    async def begin(self) -> None:
        await self.system.signal(self.fault.target or self.service, self.number)


class GatewayKill(_Service):
    """SIGKILL to a gateway."""

    name = "gateway-kill"
    hits = "gateway"
    number = signal.SIGKILL


class GatewayStop(_Service):
    """SIGTERM to a gateway, which moves its clients and is started again."""

    name = "gateway-stop"
    hits = "gateway"
    number = signal.SIGTERM


class PublisherKill(_Service):
    """SIGKILL to the publisher."""

    name = "publisher-kill"
    service = "publisher"
    number = signal.SIGKILL


class PublisherStop(_Service):
    """SIGTERM to the publisher, which is started again."""

    name = "publisher-stop"
    service = "publisher"
    number = signal.SIGTERM


class AuthKill(_Service):
    """SIGKILL to auth."""

    name = "auth-kill"
    service = "auth"
    number = signal.SIGKILL


class NginxReload(_Service):
    """SIGHUP to nginx: new workers, and the old ones' clients move."""

    name = "nginx-reload"
    service = "nginx"
    number = signal.SIGHUP


class _Pause(_Service):
    lasts = LONG
    number = signal.SIGSTOP

    async def end(self) -> None:
        await self.system.signal(self.fault.target or self.service, signal.SIGCONT)


class GatewayPause(_Pause):
    """SIGSTOP to a gateway, and SIGCONT."""

    name = "gateway-pause"
    hits = "gateway"


class PublisherPause(_Pause):
    """SIGSTOP to the publisher, and SIGCONT."""

    name = "publisher-pause"
    service = "publisher"


class RollingRestart(Act):
    """SIGTERM to each gateway, the next one when the one before is ready."""

    name = "rolling-restart"
    cost = Cost(heals=15)

    async def begin(self) -> None:
        """As `Act.begin`."""
        for name in self.system.gateways:
            before = self.system.pid(name)
            await self.system.signal(name, signal.SIGTERM)
            await self.system.replaced(name, before, seconds=READY_SECONDS)


ACTS: tuple[type[Act], ...] = (
    GatewayKill,
    GatewayStop,
    GatewayPause,
    RollingRestart,
    PublisherKill,
    PublisherStop,
    PublisherPause,
    AuthKill,
    NginxReload,
)
