"""What FastAPI cannot see of a route, for the OpenAPI document: bodies and queries that the route reads itself."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from services.kernel.http import openapi, problems
from services.kernel.http.bodies import JSON
from services.publisher.routes import bodies, reading
from services.publisher.routes.models import Disconnect, Notification, Subscription

REF = "#/components/schemas/{name}"

_TYPES = (
    bodies.Publish,
    bodies.Batch,
    bodies.Broadcast,
    bodies.DirectMessage,
    bodies.Published,
    bodies.Results,
)
_MODELS = (Disconnect, Subscription, Notification)

_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Counts as `key` where neither body nor query has one. With or without quotes around it.",
    "schema": {"type": "string", "pattern": r"^[!-~]([ -~]{0,126}[!-~])?$"},
}


def operation_id(route: APIRoute) -> str:
    """The name of an operation for generated clients: that of its function."""
    return route.name


def answer(name: str) -> dict[str, Any]:
    """An answer of a documented type, for `responses=` of a route."""
    return {"description": name, "content": {JSON: {"schema": _ref(name)}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents of a route that may answer with these statuses, for `responses=`."""
    content = {problems.MEDIA_TYPE: {"schema": _ref("Problem")}}
    return {
        status: {**documented, "content": content}
        for status, documented in problems.responses(*sorted(statuses)).items()
    }


def body(
    name: str, *media_types: str, required: bool = True, octets: bool = False
) -> dict[str, Any]:
    """A body of a documented type, or any bytes, for `openapi_extra=` of a route."""
    content: dict[str, Any] = {kind: {"schema": _ref(name)} for kind in media_types or (JSON,)}
    if octets:
        content[reading.OCTETS] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": required, "content": content}}


def parameters(query: type[BaseModel] | None = None, *, key: bool = False) -> dict[str, Any]:
    """What the route itself reads of query and headers, for `openapi_extra=`; `key`: the header that counts as one."""
    fields = query.model_json_schema()["properties"] if query else {}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in fields.items()
    ]
    return {"parameters": [*found, _KEY] if key else found}


def install(app: FastAPI) -> None:
    """Add the documented types to the app's OpenAPI document."""
    openapi.amend(app, _describe)


def _describe(document: dict[str, Any]) -> None:
    _, schemas = msgspec.json.schema_components(
        _TYPES, schema_hook=bodies.schema_hook, ref_template=REF
    )
    named = document.setdefault("components", {}).setdefault("schemas", {})
    named |= {
        **schemas,
        "Data": bodies.DATA_SCHEMA,
        "Problem": problems.SCHEMA,
        **{model.__name__: model.model_json_schema() for model in _MODELS},
    }
    named["Notification"]["additionalProperties"] = _ref("Data")
    # Not a plain reference: tools that guess links between calls would take a listed channel for what DELETE
    # of its messages ends, but it only loses its history.
    named["Channels"]["properties"]["channels"]["items"] = {"anyOf": [_ref("Audience")]}
    # The same: they would drain what is listed.
    named["Nodes"]["properties"]["nodes"]["items"] = {"anyOf": [_ref("Node")]}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": REF.format(name=name)}
