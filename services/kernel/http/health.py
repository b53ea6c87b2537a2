"""What a service says about itself on its own port: /healthz, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    disable_created_metrics,
    generate_latest,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

# A second series beside each counter, which nothing here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


MESSAGES_REFUSED = (
    "Redis uses more than OPENLINE_MEMORY_PERCENT of its maxmemory: messages are refused"
)
"""What the body of /readyz says of the store's memory while it is short."""


class Readiness(NamedTuple):
    """Whether new clients may be sent here, and what is the matter: a JSON object named in the body of /readyz."""

    ok: bool
    detail: dict[str, Any]


def routes(
    ready: Callable[[], Readiness], *, registry: CollectorRegistry = REGISTRY
) -> list[Route]:
    """Routes of the three pages. `ready` is asked at each /readyz: 200 or 503 with `{"ready": ..., **detail}`."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        ok, detail = ready()
        return JSONResponse({**detail, "ready": ok}, status_code=200 if ok else 503)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
