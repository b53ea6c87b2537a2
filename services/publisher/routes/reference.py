"""The publisher's own description, for the networks that may administrate it: OpenAPI, and a page for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from services.publisher.routes import describe
from services.publisher.routes.callers import PartsOf

PAGE = Path(__file__).with_name("reference.html")
"""Written by `make docs` from the same routes; it needs no script and nothing from elsewhere."""

router = APIRouter(generate_unique_id_function=describe.operation_id, include_in_schema=False)


@router.get("/docs")
async def page(request: Request, of: PartsOf) -> Response:
    """The HTTP API for people."""
    of.guard.administrator(request)
    return HTMLResponse(PAGE.read_bytes(), headers={"cache-control": "no-cache"})


@router.get("/openapi.json")
@router.get("/v1/openapi.json")
async def document(request: Request, of: PartsOf) -> Response:
    """The HTTP API for programs (OpenAPI 3.1); at the front door under `/v1/`, where all of the publisher is."""
    of.guard.administrator(request)
    described: dict[str, Any] = request.app.openapi()
    return JSONResponse(described)
