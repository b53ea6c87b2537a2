"""Puts the auth service together from its settings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypedDict

import structlog
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from services.auth import metrics
from services.auth.credentials import Passwords
from services.auth.grants import Grants
from services.auth.issuer import Issuer
from services.auth.keyring import FileKeyring, Keyring, KeyringError, SecretKeyring
from services.auth.oauth import OAuthError
from services.auth.parts import Parts
from services.auth.revoked_logins import RevokedLogins
from services.auth.revoker import Revoker, announce_on
from services.auth.routes import accounts, connect, forms, inspection, keys, token
from services.auth.settings import Settings
from services.auth.store import Store
from services.auth.throttle import Guesses, Throttle
from services.kernel.broker.port import Broker
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.domain.limits import Limits
from services.kernel.http import health, middleware, problems
from services.kernel.http.auth_failures import AuthFailures
from services.kernel.http.health import Readiness
from services.kernel.http.requests import Requests
from services.kernel.http.serve import serve
from services.kernel.ops import admin_networks, limits, logs, pace, redaction
from services.kernel.ops.refusal import refusing
from services.kernel.ops.tasks import Tasks
from services.kernel.ops.version import version
from services.kernel.redis.link import Command
from services.kernel.tokens import trust
from services.kernel.tokens.jwks import RemoteKeys
from services.kernel.tokens.keys import UntrustedKeyError
from services.kernel.tokens.revocations import Revocations
from services.kernel.tokens.revocations_redis import RedisRevocations
from services.kernel.tokens.tickets import Tickets
from services.kernel.tokens.tickets_redis import RedisTickets
from services.kernel.tokens.verifier import TrustedIssuer, Verifier

UNLIMITED = 2**62
"""For the shared body limit: each route here reads its own body, bounded, and refuses in its own form."""

_PROBE_SECONDS = 1.0
_PROBE_PATIENCE = 1.5
"""Seconds between two rounds, and for Redis' answer: within three seconds readiness fits the facts."""

_PURGE_SECONDS = 3600.0

Ping = Callable[[], Awaitable[object]]

_log = structlog.get_logger(__name__)


class Probes:
    """What /readyz answers: whether database and Redis answered when last asked. Without Redis logins still work."""

    def __init__(self, store: Store, ping: Ping) -> None:
        """`ping` raises `unavailable`."""
        self._store = store
        self._pinged = ping
        self._answers = {"database": False, "redis": False}

    def ready(self) -> Readiness:
        """Ready while the database answers; Redis is only named."""
        return Readiness(self._answers["database"], dict(self._answers))

    async def run(self) -> None:
        """Ask again and again, and forget refresh tokens that ended."""
        purged = float("-inf")
        while True:
            self._answers = {"database": await self._database(), "redis": await self._ping()}
            if self._answers["database"] and time.monotonic() - purged > _PURGE_SECONDS:
                purged = time.monotonic()
                with suppress(OpenlineError):
                    await run_in_threadpool(self._store.purge, time.time())
            await pace.pause(_PROBE_SECONDS)

    async def _database(self) -> bool:
        try:
            await run_in_threadpool(self._store.ping)
        except OpenlineError:
            return False
        return True

    async def _ping(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_PATIENCE):
                await self._pinged()
        except (OpenlineError, TimeoutError):
            return False
        return True


def keyring(settings: Settings) -> Keyring:
    """The keyring that the settings ask for."""
    if settings.auth_algorithm == "HS256":
        assert settings.hs256_secret is not None
        return SecretKeyring(settings.hs256_secret.get_secret_value())
    return FileKeyring(settings.auth_keys, algorithm=settings.auth_algorithm)


def create(settings: Settings, *, clock: Callable[[], float] = time.time) -> FastAPI:
    """The ASGI application.

    Raises `OpenlineError` when the database cannot be reached, OSError when the keys' folder cannot be written,
    `UntrustedKeyError` for a short secret, `ConfigurationError` for a Redis URL that can never work.
    """
    broker = RedisBroker.of(settings)
    redis = broker.client
    return assemble(
        settings,
        broker,
        tickets=RedisTickets(redis),
        revocations=RedisRevocations(redis),
        ping=lambda: redis.read(Command(("PING",), again=True), what="Redis is away"),
        clock=clock,
    )


def assemble(
    settings: Settings,
    broker: Broker,
    *,
    tickets: Tickets,
    revocations: Revocations,
    ping: Ping,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The application over these adapters. Raises as `create` does."""
    store = Store(settings.database_url)
    revoker = Revoker(revocations, announce=announce_on(broker), clock=clock)
    parts, remote = _parts(settings, store, tickets=tickets, revoker=revoker, clock=clock)
    probes = Probes(store, ping)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = Tasks(metrics.TASK_FAILURES)
        tasks.start("probes", probes.run)
        tasks.start("keys", remote.run)
        tasks.start("revoked_logins", RevokedLogins(parts.revoker, store, clock=clock).run)
        yield
        await tasks.close()
        await remote.close()
        await broker.close()
        parts.passwords.close()
        store.close()

    return _application(settings, parts, probes, lifespan)


def _parts(
    settings: Settings,
    store: Store,
    *,
    tickets: Tickets,
    revoker: Revoker,
    clock: Callable[[], float],
) -> tuple[Parts, RemoteKeys]:
    ring = keyring(settings)
    issuer = Issuer(ring, issuer=settings.public_url, audience=settings.audience)
    passwords = Passwords(settings.auth_hashers)
    trusted = trust.of(settings, without=_own_urls(settings), own=ring)
    given = limits.of(settings)
    parts = Parts(
        settings=settings,
        store=store,
        keyring=ring,
        issuer=issuer,
        passwords=passwords,
        grants=Grants(
            store=store,
            issuer=issuer,
            passwords=passwords,
            revoker=revoker,
            token_ttl=settings.auth_token_ttl,
            refresh_ttl=settings.auth_refresh_ttl,
            clock=clock,
        ),
        revoker=revoker,
        tickets=tickets,
        own=Verifier([TrustedIssuer(settings.public_url, ring)], audience=settings.audience),
        trusted=trusted.verifier,
        **_throttles(given),
        limits=given,
        clock=clock,
    )
    return parts, trusted.remote


class _Throttles(TypedDict):
    logins: Throttle
    refreshes: Throttle
    guesses: Guesses
    failures: AuthFailures


def _throttles(given: Limits) -> _Throttles:
    """How often things may be tried, in this process: the fields of `Parts` by their names."""
    logins, refreshes = given.login_rate_per_minute, given.refresh_rate_per_minute
    return {
        "logins": Throttle(
            logins,
            refusal=f"an address may try {logins} times a minute to log in or register",
            on=given.rates,
        ),
        "refreshes": Throttle(
            refreshes,
            refusal=f"a login may be refreshed {refreshes} times a minute; use the token that you got",
            on=given.rates,
        ),
        "guesses": Guesses(
            given.wrong_passwords_per_hour, given.wrong_passwords_burst, on=given.rates
        ),
        "failures": AuthFailures(given),
    }


def _own_urls(settings: Settings) -> set[str]:
    """Where this service's own keys would be fetched from: it has them at hand."""
    hosts = {settings.auth_host, "127.0.0.1", "localhost"}
    bases = {settings.public_url, *(f"http://{host}:{settings.auth_port}" for host in hosts)}
    return {f"{base}/auth/jwks.json" for base in bases}


def _application(settings: Settings, parts: Parts, probes: Probes, lifespan: object) -> FastAPI:
    app = FastAPI(
        title="Openline auth",
        summary="Users, clients and the tokens they get.",
        version=version(),
        lifespan=lifespan,  # type: ignore[arg-type]
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.routes.extend(health.routes(probes.ready))
    for module in (token, inspection, accounts, connect, keys):
        app.include_router(module.router)
    problems.install(app)
    app.add_exception_handler(OpenlineError, _refused)
    app.add_exception_handler(OAuthError, forms.refused)
    forms.document(app)
    middleware.install(app, allowed_origins=settings.allowed_origins, body_bytes=UNLIMITED)
    app.add_middleware(Requests, requests=metrics.REQUESTS, seconds=metrics.REQUEST_SECONDS)
    metrics.READY.set_function(lambda: probes.ready().ok)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, OpenlineError)
    metrics.FAILURES.labels(error.code.value).inc()
    _log.info("request_refused", path=redaction.path(request.url.path), error=error.code.value)
    return problems.response(error)


def run(settings: Settings) -> None:
    """Serve until told to end. What stops the start is one line and exit status 2."""
    logs.configure("auth", format=settings.log_format, level=settings.log_level)
    with refusing({UntrustedKeyError: "OPENLINE_HS256_SECRET", KeyringError: "OPENLINE_AUTH_KEYS"}):
        application = _created(settings)
    admin_networks.warn_if_assumed(settings)
    serve(
        application,
        host=settings.auth_host,
        port=settings.auth_port,
        name="auth",
        limits=limits.of(settings),
        trusted_proxies=settings.trusted_proxies,
    )


def _created(settings: Settings) -> FastAPI:
    try:
        return create(settings)
    except OpenlineError as error:
        raise ConfigurationError(
            f"OPENLINE_DATABASE_URL: {error.message}; start the database or correct the URL"
        ) from error
    except OSError as error:
        problem = error.strerror or str(error)
        raise ConfigurationError(
            f"OPENLINE_AUTH_KEYS={settings.auth_keys}: {problem}; name a folder that this user can read and write"
        ) from error
