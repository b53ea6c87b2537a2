"""The OpenAPI side of a route: parameters, bodies and answers, made from the types that are decoded and encoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from services.kernel.broker import paging as cursors
from services.kernel.domain import channels
from services.kernel.http import openapi, problems
from services.publisher.routes import bodies, reading

Call = Callable[[Request], Awaitable[Response]]

REF = "#/components/schemas/{name}"
SUBJECT = f"^{channels.SUBJECT_GRAMMAR}$"

_TYPES = (
    bodies.Publish,
    bodies.Batch,
    bodies.Broadcast,
    bodies.DirectMessage,
    bodies.Disconnect,
    bodies.Subscription,
    bodies.Notification,
    bodies.Published,
    bodies.Results,
    bodies.History,
    bodies.Dropped,
    bodies.Presence,
    bodies.Channels,
    bodies.Nodes,
    bodies.Sent,
    bodies.Accepted,
)


class _Direct(APIRoute):
    """A route whose call reads its request itself: FastAPI's own reading would cost as much as all the rest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The call itself."""
        call: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return call


class Body(NamedTuple):
    """One way to send a body: a documented type, or any bytes when there is no type."""

    type: str | None = None
    media_type: str = reading.JSON


def parameter(name: str, where: str, schema: dict[str, Any], description: str = "") -> Any:
    """A parameter of the path or the query."""
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": description,
    }


def _text(pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, **more}


CHANNEL = parameter(
    "channel",
    "path",
    _text(f"^{channels.CHANNEL_GRAMMAR}$", examples=["room:lobby", "live:prices"]),
    "namespace:name",
)
TOPIC = parameter(
    "topic", "path", _text(f"^{channels.NAME_GRAMMAR}$", examples=["orders"]), "of notify:"
)
USER = parameter("user", "path", _text(SUBJECT, examples=["bob"]), "The `sub` of a user's tokens.")
CONNECTION = parameter("connection", "path", _text(SUBJECT), "As `connected` and presence name it.")
KEY = parameter(
    "key",
    "query",
    _text(r"^[^\x00-\x1f\x7f]{1,128}$"),
    "Idempotency key, mostly for raw bodies: the field of a JSON body counts before it.",
)
EPHEMERAL = parameter(
    "ephemeral",
    "query",
    {"type": "string", "enum": ["true", "false", "1", "0"]},
    "Only for current subscribers; mostly for raw bodies: a JSON body has a field for it.",
)
CURSOR = parameter(
    "cursor", "query", _text(cursors.PATTERN, maxLength=1024), "From the page before."
)


def operation(
    router: APIRouter,
    method: str,
    path: str,
    *,
    call: Call,
    summary: str,
    parameters: Sequence[Any] = (),
    bodies: Sequence[Body] = (),
    body_required: bool = True,
    success: tuple[int, str],
    refusals: Sequence[int],
) -> None:
    """Register a call together with what the OpenAPI document says about it."""
    extra: dict[str, Any] = {"security": [{"bearer": []}]}
    if parameters:
        extra["parameters"] = list(parameters)
    if bodies:
        extra["requestBody"] = {
            "required": body_required,
            "content": {body.media_type: {"schema": _schema(body)} for body in bodies},
        }
    status, name = success
    router.add_api_route(
        path,
        call,
        methods=[method],
        status_code=status,
        summary=summary,
        operation_id=getattr(call, "__name__", path),
        response_class=Response,
        responses={
            status: {
                "description": name,
                "content": {"application/json": {"schema": {"$ref": REF.format(name=name)}}},
            },
            **_refusals(refusals),
        },
        openapi_extra=extra,
        route_class_override=_Direct,
    )


def _refusals(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    problem = {"schema": {"$ref": REF.format(name="Problem")}}
    return {
        status: {**documented, "content": {problems.MEDIA_TYPE: problem}}
        for status, documented in problems.responses(*statuses).items()
    }


def _schema(body: Body) -> dict[str, Any]:
    if body.type is None:
        return {"type": "string", "format": "binary"}
    return {"$ref": REF.format(name=body.type)}


def install(app: FastAPI) -> None:
    """Add the documented types and the bearer scheme to the app's OpenAPI document."""
    openapi.amend(app, _describe)


def _describe(document: dict[str, Any]) -> None:
    _, schemas = msgspec.json.schema_components(
        _TYPES, schema_hook=bodies.schema_hook, ref_template=REF
    )
    components = document.setdefault("components", {})
    named = {**schemas, "Data": bodies.DATA_SCHEMA, "Problem": problems.SCHEMA}
    named["Notification"]["additionalProperties"] = {"$ref": REF.format(name="Data")}
    # Not a plain reference: tools that guess links between calls would take a listed channel for what DELETE
    # of its messages ends, but it only loses its history.
    listed = named["Channels"]["properties"]["channels"]
    listed["items"] = {"anyOf": [listed["items"]]}
    components.setdefault("schemas", {}).update(named)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
