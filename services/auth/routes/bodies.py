"""Reading request bodies: bounded, of the right media type, validated with the reason in the refusal."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from services.kernel.domain.codes import Code, OpenlineError

MAX_BODY = 65_536

M = TypeVar("M", bound=BaseModel)


async def read(request: Request) -> bytes:
    """The whole body. Raises `too_large` as soon as it is, without keeping what was read."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise OpenlineError(Code.TOO_LARGE, f"a body is at most {MAX_BODY} bytes")
    except ClientDisconnect:
        raise OpenlineError(Code.BAD_REQUEST, "the body ended too soon") from None
    return bytes(body)


def media_type(request: Request) -> str:
    """The body's media type in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json(request: Request, model: type[M]) -> M:
    """The body as a model. Raises 415, `too_large`, or `bad_request` naming the field and the rule it breaks."""
    if media_type(request) != "application/json":
        raise HTTPException(415, "the body must be JSON, with Content-Type: application/json")
    body = await read(request)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise OpenlineError(Code.BAD_REQUEST, _first(error)) from None


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in found["loc"])[:100]
    what = found["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra=` of a route that reads this model."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
