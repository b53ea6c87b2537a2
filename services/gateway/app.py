"""Puts the gateway together from its settings and serves it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector

from services.gateway.metrics import Metrics
from services.gateway.node.failover import STATUS
from services.gateway.node.node import Node
from services.gateway.settings import Settings
from services.gateway.transports.both_ways import BothWaysRoute
from services.gateway.transports.moving import MovingRoute
from services.gateway.transports.sse import SseRoute
from services.gateway.transports.websocket import WebSocketRoutes
from services.gateway.watchdog import Watchdog
from services.gateway.websocket import Acceptance, HandshakeSniffer, Request, WebSocketProtocol
from services.kernel.broker.metrics import BrokerCalls
from services.kernel.broker.port import Broker
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code
from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Namespaces
from services.kernel.domain.origins import Origins
from services.kernel.http import health, middleware, problems
from services.kernel.http.health import MESSAGES_REFUSED, Readiness
from services.kernel.http.http_protocol import HttpProtocol
from services.kernel.http.serve import Server, serve
from services.kernel.ops import garbage, limits, logs, memory, namespaces
from services.kernel.ops.refusal import refuse_now, refusing
from services.kernel.ops.version import build_info, version
from services.kernel.tokens import trust
from services.kernel.tokens.keys import UntrustedKeyError
from services.kernel.tokens.revocations import Revocations
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets import Tickets
from services.kernel.tokens.tickets_redis import RedisTickets


class Gateway:
    """The application and the node behind it. Make it inside a running event loop."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        *,
        tickets: Tickets,
        revocations: Revocations,
        namespaces: Namespaces,
    ) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        BrokerCalls("gateway", broker.counters, registry=self.registry)
        verifier, self.keys = trust.of(settings)
        name = settings.node or f"gateway-{secrets.token_hex(3)}"
        build_info("gateway", registry=self.registry, node=name)
        self.node = Node(
            name=name,
            broker=broker,
            namespaces=namespaces,
            limits=limits.of(settings),
            verifier=verifier,
            tickets=tickets,
            revocations=revocations,
            metrics=Metrics(self.registry),
            end=_end,
            version=version(),
            drain_seconds=settings.drain_seconds,
            shedding=settings.shedding,
        )
        metrics = self.node.metrics
        metrics.ready.set_function(lambda: self.ready().ok)
        self.watchdog = Watchdog(delay=metrics.loop_delay.observe)

    async def run(self) -> None:
        """What runs beside the application, until cancelled."""
        watch = self.node.metrics.task_failures.watch
        async with asyncio.TaskGroup() as group:
            group.create_task(self.node.run())
            group.create_task(watch("keys", self.keys.run()))
            group.create_task(watch("watchdog", self.watchdog.run()))

    async def close(self) -> None:
        """Give everything back."""
        await self.node.close()
        await self.keys.close()

    def ready(self) -> Readiness:
        """Not ready while starting or draining, or when the bus is stalled here alone.

        If Redis is down for everyone, or its memory short, stay ready and say so in the body: sockets are worth keeping.
        """
        node = self.node
        buses = node.buses
        stalled, away = buses.stalled(), (buses.unavailable() if node.started else [])
        detail = {
            "node": node.name,
            "started": node.started,
            "draining": node.draining,
            "stalled": stalled,
            "store": "unavailable" if away else "ok",
            "away": away,
            "memory": MESSAGES_REFUSED if buses.full else "ok",
        }
        ok = node.started and not node.draining and not stalled
        return Readiness(ok, detail)


def create(
    settings: Settings,
    broker: Broker,
    *,
    tickets: Tickets,
    revocations: Revocations,
    namespaces: Namespaces,
) -> FastAPI:
    """The ASGI application; its `state.gateway`, and `state.fast_accept` for its server, are set while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gateway = app.state.gateway = Gateway(
            settings, broker, tickets=tickets, revocations=revocations, namespaces=namespaces
        )
        origins = Origins(settings.allowed_origins)
        app.routes.extend(health.routes(gateway.ready, registry=gateway.registry))
        sockets = WebSocketRoutes(gateway.node, origins, echo_max_bytes=settings.echo_max_bytes)
        app.routes.extend(sockets.routes())
        app.state.fast_accept = sockets.fast_accept
        app.routes.extend(SseRoute(gateway.node, origins).routes())
        app.routes.extend(BothWaysRoute(gateway.node, origins).routes())
        app.routes.extend(MovingRoute(gateway.node.fleet, settings.trusted_proxies).routes())
        running = asyncio.create_task(gateway.run())
        running.add_done_callback(_stopped)
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await gateway.close()

    app = FastAPI(
        title="Openline gateway",
        version=version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    middleware.install(app)
    return app


def _stopped(running: asyncio.Task[None]) -> None:
    """A gateway whose reader has ended must not go on looking healthy."""
    if not running.cancelled() and (error := running.exception()) is not None:
        refuse_now(f"the gateway cannot go on: {_root(error)}")


def _end(reason: str) -> None:
    refuse_now(
        f"the gateway exits, so that its supervisor starts it again: {reason}", status=STATUS
    )


def _root(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def protocols(app: FastAPI, limited: Limits) -> dict[str, Any]:
    """The classes that read HTTP and WebSocket, as `serve` takes them: handshakes go past both to `app` where they may."""

    def fast_accept(request: Request) -> Acceptance | None:
        # Made when the application has started.
        acceptance: Acceptance | None = app.state.fast_accept(request)
        return acceptance

    def crowded() -> None:
        app.state.gateway.node.metrics.refused("websocket", Code.UNAVAILABLE.value, leaving=False)

    return {
        "http": partial(
            HandshakeSniffer,
            http=partial(HttpProtocol, limits=limited),
            head_bytes=limited.head_bytes,
            head_lines=limited.head_lines,
            head_seconds=limited.head_seconds,
        ),
        "ws": partial(
            WebSocketProtocol,
            fast_accept=fast_accept,
            crowded=crowded,
            handshake_seconds=limited.handshake_seconds,
            frame_rate=limited.frame_rate if limited.rates else 0,
            byte_rate=limited.read_bytes_rate if limited.rates else 0,
        ),
    }


def run(settings: Settings) -> None:
    """Serve until told to end. What can never work ends the process with one line."""
    logs.configure("gateway", format=settings.log_format, level=settings.log_level)
    with refusing({UntrustedKeyError: "OPENLINE_HS256_SECRET"}):
        broker = RedisBroker.of(settings)
        known = namespaces.load(settings.namespaces)
        limited = limits.of(settings)
        limits.check(limited, known)
        limits.check_memory(limited, memory.ceiling())
        trust.check(settings)
        app = create(
            settings,
            broker,
            tickets=RedisTickets(broker.client),
            revocations=RedisRevocations(broker.client),
            namespaces=known,
        )

    async def stopping(_: Server) -> None:
        await app.state.gateway.node.drain(settings.drain_seconds)

    async def started(_: Server) -> None:
        garbage.settle()

    serve(
        app,
        host=settings.gateway_host,
        port=settings.gateway_port,
        name="gateway",
        limits=limited,
        trusted_proxies=settings.trusted_proxies,
        on_started=started,
        on_stopping=stopping,
        **protocols(app, limited),
        timeout_graceful_shutdown=10,
    )
