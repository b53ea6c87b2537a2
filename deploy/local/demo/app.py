"""The helper's HTTP interface. Only pages of this machine may order anything: a foreign page cannot, whatever its visitor opens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.local.demo.back_end import CHANNEL, RATE, Caller, Feed
from deploy.local.demo.running import Running

PAUSE = 2.0
"""Seconds between two kills."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NOTE = {
    "title": "Your back end says hello",
    "message": "One HTTP call, and every tab has it.",
    "level": "success",
}

log = structlog.get_logger(__name__)


def create(var: Path) -> Starlette:
    """The helper of the run whose data folder is `var`."""
    return Demo(Running(var)).app


class Demo:
    """What may be ordered."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._caller = Caller(running)
        self._feed = Feed(self._caller)
        self._killed = -PAUSE
        self.app = Starlette(
            routes=[
                Route("/healthz", _alive),
                Route("/demo/gateways", self._gateways),
                Route("/demo/gateways/{name}/kill", _ordered(self._kill), methods=["POST"]),
                Route("/demo/feed", _ordered(self._ask_feed), methods=["POST"]),
                Route("/demo/notifications", _ordered(self._notify), methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        await self._feed.stop()
        await self._caller.close()

    async def _gateways(self, _request: Request) -> Response:
        try:
            found = self._running.gateways()
        except OSError:
            return _refusal(503, "the run is starting; ask again in a second")
        return JSONResponse([{"name": name, "up": pid is not None} for name, pid in found.items()])

    async def _kill(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in (known := self._running.gateways()):
            return _refusal(404, f"no gateway of that name here; there are {', '.join(known)}")
        if time.monotonic() < self._killed + PAUSE:
            return _refusal(429, f"a gateway was killed just now; wait {PAUSE:g} s")
        self._killed = time.monotonic()
        if not self._running.kill(name):
            return _refusal(409, f"{name} is down already; it comes back within seconds")
        log.warning("gateway_killed", gateway=name)
        return JSONResponse({"killed": name}, 202)

    async def _ask_feed(self, _request: Request) -> Response:
        self._feed.ask()
        return JSONResponse({"channel": CHANNEL, "rate": RATE}, 202)

    async def _notify(self, _request: Request) -> Response:
        try:
            await self._caller.publish([{"channel": "notify:demo", "data": NOTE}])
        except httpx2.HTTPError:
            return _refusal(503, "the publisher does not answer just now; try again in a second")
        return JSONResponse({"sent": "notify:demo"}, 202)


async def _alive(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _ordered(
    work: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """`work`, for a page of this machine that was loaded from the very address that it calls."""

    async def judged(request: Request) -> Response:
        if not own_page(request.headers.get("origin", ""), request.headers.get("host", "")):
            return _refusal(
                403,
                "only the page that this run serves on this machine may order this, by its own Origin",
            )
        try:
            return await work(request)
        except OSError:
            return _refusal(503, "the run is starting; ask again in a second")

    return judged


def own_page(origin: str, host: str) -> bool:
    """Whether a browser says that a page of this machine calls the front door that it came from.

    Browsers send Origin with each POST (Fetch, section 3.1), and a page cannot choose it. Its host must be loopback by
    name: a foreign name that was made to point here (DNS rebinding) is of the same origin too.
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in LOOPBACK and parts.netloc == host


def _refusal(status: int, detail: str) -> Response:
    return JSONResponse(
        {"status": status, "detail": detail}, status, media_type="application/problem+json"
    )
