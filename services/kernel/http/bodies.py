"""Reading request bodies: bounded, of the right media type, and JSON as a model with the reason in the refusal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import HTTPException, Request
from pydantic import BaseModel, BeforeValidator, ValidationError
from starlette.requests import ClientDisconnect

from services.kernel.domain import unreadable
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.nearest import nearest, shown
from services.kernel.http import problems

JSON = "application/json"

M = TypeVar("M", bound=BaseModel)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer that may be written `60` or, as JSON Schema and JavaScript have it, `60.0`."""


async def read(request: Request, *, limit: int) -> bytes:
    """The whole body. Raises `too_large` as soon as it has more than `limit` bytes, without keeping what was read."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise OpenlineError(Code.TOO_LARGE, f"a body is at most {limit} bytes")
    except ClientDisconnect:
        raise OpenlineError(Code.BAD_REQUEST, "the body ended too soon") from None
    return bytes(body)


def media_type(request: Request) -> str:
    """The body's media type, as `plain_type` has it."""
    return plain_type(request.headers.get("content-type", ""))


def plain_type(given: str) -> str:
    """A media type in lower case, without parameters; empty when none is named."""
    return given.partition(";")[0].strip().lower()


def unsupported(*accepted: str) -> HTTPException:
    """415, naming what would do."""
    return HTTPException(
        415, f"send the body as {' or '.join(accepted)}, and say so in Content-Type"
    )


async def json(request: Request, model: type[M], *, limit: int) -> M:
    """The body as a model. Raises 415, `too_large`, or `bad_request` naming the field and the rule it breaks."""
    if media_type(request) != JSON:
        raise unsupported(JSON)
    return validated(await read(request, limit=limit), model)


def no_such(what: str, name: str, known: Collection[str]) -> str:
    """Why a body, query or form is refused that names something unknown, with what would be right."""
    names = ", ".join(known)
    return f"no {what} {shown(name)} here; the nearest is {nearest(name, known)!r}, and known are {names}"


def validated(raw: bytes, model: type[M]) -> M:
    """JSON as a model. Raises `bad_request`. Invalid JSON, such as NaN, is refused in unknown fields, too."""
    try:
        return model.model_validate(msgspec.json.decode(raw, type=dict[str, Any]))
    except RecursionError:
        raise OpenlineError(Code.BAD_REQUEST, "the body is nested too deep") from None
    except msgspec.ValidationError as error:
        raise OpenlineError(Code.BAD_REQUEST, f"the body is not as it should be: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = f"the body is not JSON: {unreadable.reason(raw, error)}"
        raise OpenlineError(Code.BAD_REQUEST, message) from None
    except ValidationError as error:
        raise OpenlineError(Code.BAD_REQUEST, _first(error, model)) from None


def _first(error: ValidationError, model: type[BaseModel]) -> str:
    """What is misspelt comes before what is missing: it is mostly the same member."""
    for one in error.errors():
        if one["type"] == "extra_forbidden":
            return no_such("member", str(one["loc"][-1]), model.model_fields)
    return problems.first(error.errors())


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The `openapi_extra=` of a route that reads this model."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}
