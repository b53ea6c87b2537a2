"""The one place that changes what FastAPI says of a service: some of what is true it has no word for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI


def amend(app: FastAPI, change: Callable[[dict[str, Any]], None]) -> None:
    """Let `change` edit the OpenAPI document of `app` in place, after all changes that were asked for before.

    FastAPI keeps the document that it made and `change` sees it at each request, so it must be idempotent.
    """
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        change(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
