"""What each kind of fault does to the system."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from loadtest.chaos.proxy import SteerableProxy
from loadtest.chaos.schedule import Fault
from loadtest.chaos.system import System


async def happen(system: System, fault: Fault) -> None:
    """Let it happen; returns when what hung goes on. What was ended is started again by its supervisor."""
    await _ACTS[fault.kind](system, fault)


def _signal(name: str, number: signal.Signals) -> Callable[[System, Fault], Awaitable[None]]:
    def act(system: System, fault: Fault) -> Awaitable[None]:
        return system.signal(name.format(fault.gateway), number)

    return act


def _restart(number: signal.Signals) -> Callable[[System, Fault], Awaitable[None]]:
    async def act(system: System, _fault: Fault) -> None:
        await system.redis.end(number)
        await system.redis.start()

    return act


async def _pause(system: System, fault: Fault) -> None:
    name = f"gateway-{fault.gateway}"
    await system.signal(name, signal.SIGSTOP)
    await asyncio.sleep(fault.lasts)
    await system.signal(name, signal.SIGCONT)


async def _stall(way: SteerableProxy, seconds: float) -> None:
    way.hung = True
    await asyncio.sleep(seconds)
    way.hung = False


async def _reset(way: SteerableProxy) -> None:
    way.reset()


_ACTS: dict[str, Callable[[System, Fault], Awaitable[None]]] = {
    "gateway-kill": _signal("gateway-{}", signal.SIGKILL),
    "gateway-stop": _signal("gateway-{}", signal.SIGTERM),
    "gateway-pause": _pause,
    "redis-reset": lambda system, _: _reset(system.redis_way),
    "redis-stall": lambda system, fault: _stall(system.redis_way, fault.lasts),
    "redis-restart": _restart(signal.SIGTERM),
    "redis-kill": _restart(signal.SIGKILL),
    "nginx-reload": _signal("nginx", signal.SIGHUP),
    "publisher-kill": _signal("publisher", signal.SIGKILL),
    "auth-kill": _signal("auth", signal.SIGKILL),
    "clients-reset": lambda system, _: _reset(system.way),
    "clients-stall": lambda system, fault: _stall(system.way, fault.lasts),
}
