"""Puts the publisher together from its settings and serves it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from prometheus_client import REGISTRY
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from services.kernel.broker.metrics import BrokerCalls
from services.kernel.broker.port import Broker
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.domain.namespaces import Namespaces
from services.kernel.domain.schemas import Schemas
from services.kernel.http import health, middleware, problems
from services.kernel.http.auth_failures import AuthFailures, client_behind
from services.kernel.http.known_heads import KnownHeads
from services.kernel.http.requests import Requests
from services.kernel.http.serve import Server, serve
from services.kernel.ops import admin_networks, garbage, limits, logs, namespaces
from services.kernel.ops.refusal import refuse_now, refusing
from services.kernel.ops.tasks import Tasks
from services.kernel.ops.version import version
from services.kernel.tokens import trust
from services.kernel.tokens.keys import UntrustedKeyError
from services.kernel.tokens.revocations import Revocations
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.publisher import metrics
from services.publisher.fast_path import FastPath
from services.publisher.probes import Probes
from services.publisher.routes import (
    callers,
    channels,
    control,
    describe,
    messages,
    notify,
    reference,
)
from services.publisher.routes.guard import Guard
from services.publisher.routes.publishing import Publishing
from services.publisher.service import Publisher
from services.publisher.settings import Settings

DRAIN_SECONDS = 10
"""How long running requests may take after the order to end."""


class Parts:
    """The application, the fast path past its layers, and what runs beside it. `clock` tells seconds since 1970."""

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        *,
        revocations: Revocations,
        namespaces: Namespaces,
        clock: Callable[[], float] = time.time,
    ) -> None:
        verifier, self.keys = trust.of(settings)
        self._tasks = Tasks(metrics.TASK_FAILURES)
        self.broker = broker
        self.probes = Probes(broker, revocations, keys=self.keys, clock=clock)
        given = limits.of(settings)
        guard = Guard(
            verifier,
            admin_networks=settings.admin_networks,
            revoked=self.probes.revoked,
            failures=AuthFailures(given, client=client_behind(settings.trusted_proxies)),
            limits=given,
            clock=clock,
        )
        publisher = Publisher(
            broker,
            namespaces=namespaces,
            schemas=Schemas(namespaces),
            revocations=revocations,
            longest_token=settings.max_token_ttl,
            clock=clock,
        )
        self._publishing = Publishing(publisher, guard)
        metrics.begin(namespaces)
        metrics.READY.set_function(lambda: self.probes.ready().ok)
        self.app = self._application(settings, callers.Parts(publisher, guard, self._publishing))
        self.fast_path = FastPath(
            # Whose proxies are believed matters to the calls of scope `manage` alone, so only the application asks.
            _behind_proxies(self.app, settings),
            self._publishing,
            body_bytes=given.body_bytes,
            cors=bool(settings.allowed_origins),
        )

    def _application(self, settings: Settings, parts: callers.Parts) -> FastAPI:
        app = FastAPI(
            title="Openline publisher",
            summary="Publish messages, read histories and presence, command the fleet.",
            version=version(),
            lifespan=self._lifespan,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False},
        )
        app.routes.extend(health.routes(self.probes.ready))
        app.state.parts = parts
        for module in (messages, channels, control, notify, reference):
            # Not included as a router, so that the application's routes list each of them.
            app.routes.extend(module.router.routes)
        describe.install(app)
        problems.install(app)
        app.add_exception_handler(405, _method_not_allowed)
        app.add_exception_handler(ClientDisconnect, _gone)
        middleware.install(
            app,
            allowed_origins=settings.allowed_origins,
            body_bytes=limits.of(settings).body_bytes,
        )
        app.add_middleware(Requests, requests=metrics.REQUESTS, seconds=metrics.REQUEST_SECONDS)
        return app

    def watch(self) -> None:
        """Go on asking the broker. Needs a running loop."""
        self._tasks.start("probes", self.probes.run)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self._tasks.start("keys", self.keys.run)
        yield
        await self._tasks.close()
        await self.keys.close()
        await self.broker.close()


def _behind_proxies(app: Any, settings: Settings) -> Any:
    """`app` with the client's address as trusted proxies give it; Any, since uvicorn and Starlette type ASGI apart."""
    return ProxyHeadersMiddleware(app, trusted_hosts=list(settings.trusted_proxies))


async def _method_not_allowed(request: Request, _error: Exception) -> Response:
    """405 with all methods of the path: Starlette names only those of the first route that matches it."""
    allowed: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            allowed |= route.methods or set()
    named = ", ".join(sorted(allowed))
    error = OpenlineError(Code.BAD_REQUEST, f"{request.method} is not for this path, but {named}")
    return problems.response(error, status=405, headers={"allow": named})


async def _gone(_request: Request, _error: Exception) -> Response:
    """The client left before its body had come: nobody reads this answer, and the server is not at fault."""
    return Response(status_code=400)


def create(settings: Settings) -> Parts:
    """The publisher on Redis; nothing is connected yet. What can never work ends the process with one line."""
    with refusing({UntrustedKeyError: "OPENLINE_HS256_SECRET"}):
        broker = RedisBroker.of(settings)
        known = namespaces.load(settings.namespaces)
        limits.check(limits.of(settings), known)
        return Parts(
            settings, broker, revocations=RedisRevocations(broker.client), namespaces=known
        )


def run(settings: Settings) -> None:
    """Serve until told to end. What can never work ends the process with one line."""
    logs.configure("publisher", format=settings.log_format, level=settings.log_level)
    parts = create(settings)
    admin_networks.warn_if_assumed(settings)
    BrokerCalls("publisher", parts.broker.counters, registry=REGISTRY)

    async def started(_: Server) -> None:
        try:
            await parts.probes.ask()
        except ConfigurationError as error:
            refuse_now(str(error))
        parts.watch()
        garbage.settle()

    serve(
        parts.fast_path,
        host=settings.publisher_host,
        port=settings.publisher_port,
        name="publisher",
        limits=limits.of(settings),
        proxy_headers=False,
        http=partial(KnownHeads, limits=limits.of(settings), plain=parts.fast_path),
        on_started=started,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
