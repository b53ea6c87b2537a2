"""What nginx is elsewhere: one port, whose paths lead to the gateway, auth, the publisher and the page."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

WEB = Path(__file__).resolve().parents[2] / "web"
_FOR_ALL_ORIGINS = ("client.js", "client.d.ts")


class Services(NamedTuple):
    """The applications behind the door."""

    gateway: ASGIApp
    auth: ASGIApp
    publisher: ASGIApp


class FrontDoor:
    """The outermost ASGI application. `lifespan` runs the services; the rest of the paths is the page's."""

    def __init__(self, services: Services, *, lifespan: Lifespan[Starlette]) -> None:
        self._services = services
        routes: list[BaseRoute] = [Route("/healthz", _alive)]
        if WEB.is_dir():
            routes.append(Mount("/", _Page(directory=WEB, html=True)))
        self._site = Starlette(routes=routes, lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._behind(scope)(scope, receive, send)

    def _behind(self, scope: Scope) -> ASGIApp:
        if scope["type"] == "lifespan":
            return self._site
        path: str = scope["path"]
        if path in ("/ws", "/sse", "/readyz") or path.startswith(("/ws/", "/sse/")):
            return self._services.gateway
        if path.startswith(("/auth/", "/.well-known/")):
            return self._services.auth
        if path == "/docs" or path.startswith(("/v1/", "/notify/", "/docs/")):
            return self._services.publisher
        return self._site


class _Page(StaticFiles):
    """Pages of any origin may import the client library, as nginx has it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file."""
        response = await super().get_response(path, scope)
        if path in _FOR_ALL_ORIGINS:
            response.headers["Access-Control-Allow-Origin"] = "*"
        return response


async def _alive(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})
