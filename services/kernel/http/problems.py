"""Problem documents (RFC 9457): every refusal of an HTTP call, in one shape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from services.kernel.domain.codes import HTTP_STATUS, Code, OpenlineError
from services.kernel.domain.wording import cut
from services.kernel.http import openapi

MEDIA_TYPE = "application/problem+json"

OUTAGE_SECONDS = 1.0
"""When to try again after a 503 that does not know better."""

_CODES = {
    401: Code.UNAUTHORIZED,
    403: Code.FORBIDDEN,
    409: Code.CONFLICT,
    413: Code.TOO_LARGE,
    429: Code.RATE_LIMITED,
    503: Code.UNAVAILABLE,
}

_NAMES = {413: "Content Too Large", 422: "Unprocessable Content"}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "What was wrong and what would be right (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": [code.value for code in Code]},
        "retry_after": {"type": "number", "description": "seconds"},
        "position": {
            "type": "object",
            "required": ["epoch", "offset"],
            "properties": {"epoch": {"type": "string"}, "offset": {"type": "integer"}},
        },
    },
}


def install(app: FastAPI) -> None:
    """Answer every refusal of `app` with a problem document, and say so in its OpenAPI document."""
    app.add_exception_handler(OpenlineError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, unexpected)
    openapi.amend(app, _without_422)


def title(status: int) -> str:
    """The name of a status as RFC 9110 has it; Python's own knows two of them by older names before 3.13."""
    return _NAMES.get(status) or HTTPStatus(status).phrase


def document(error: OpenlineError, *, status: int | None = None) -> dict[str, Any]:
    """The problem document of an error as a JSON object."""
    number = status or error.status
    content: dict[str, Any] = {
        "type": f"urn:openline:problem:{error.code}",
        "title": title(number),
        "status": number,
        "detail": error.message,
        "code": error.code.value,
    }
    if error.retry_after is not None:
        content["retry_after"] = error.retry_after
    elif number == HTTPStatus.SERVICE_UNAVAILABLE:
        content["retry_after"] = OUTAGE_SECONDS
    if error.position is not None:
        content["position"] = {"epoch": error.position[0], "offset": error.position[1]}
    return content


def response(
    error: OpenlineError, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The HTTP answer to an error: a problem document, `Retry-After` in whole seconds, a challenge on 401."""
    content = document(error, status=status)
    extra = dict(headers or {})
    if "retry_after" in content:
        extra["retry-after"] = str(max(1, math.ceil(content["retry_after"])))
    if content["status"] == HTTPStatus.UNAUTHORIZED:
        extra.setdefault("www-authenticate", "Bearer")  # RFC 6750 section 3
    return JSONResponse(
        content, status_code=content["status"], headers=extra, media_type=MEDIA_TYPE
    )


def responses(*codes: Code | int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a FastAPI route that may answer with these codes or HTTP statuses."""
    documented: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status = HTTP_STATUS[code] if isinstance(code, Code) else int(code)
        name = code.value if isinstance(code, Code) else title(status)
        entry = documented.setdefault(
            status, {"description": "", "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
        )
        entry["description"] = ", ".join(filter(None, (entry["description"], name)))
    return documented


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, OpenlineError)
    return response(error)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return response(OpenlineError(Code.BAD_REQUEST, first(error.errors())))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = error.status_code
    detail = str(error.detail)
    if detail == "Not Found":
        detail = "there is nothing at this path"
    elif detail == "Method Not Allowed":
        detail = f"{request.method} is not for this path; the header Allow names what is"
    fallback = Code.BAD_REQUEST if status < HTTPStatus.INTERNAL_SERVER_ERROR else Code.INTERNAL
    refusal = OpenlineError(_CODES.get(status, fallback), detail)
    return response(refusal, status=status, headers=error.headers)


async def unexpected(request: Request, _error: Exception) -> JSONResponse:
    """500, without details. To be followed by the error itself."""
    # Starlette raises the error again after this answer; uvicorn logs it, once, with its traceback, and closes the
    # connection. A proxy that is not told so may send the next request into it.
    return fault(request.scope.get("state", {}).get("request_id", ""))


def fault(request_id: str) -> JSONResponse:
    """The answer where an error of ours was logged; the connection closes behind it."""
    headers = {"connection": "close"}
    if request_id:
        headers["x-request-id"] = request_id
    refusal = OpenlineError(Code.INTERNAL, "an unexpected error; the service's log has it")
    return response(refusal, headers=headers)


def first(errors: Sequence[Any]) -> str:
    """The first of pydantic's validation errors as `where: what`."""
    if not errors:
        return "the request is not valid"
    where = cut(".".join(str(part) for part in errors[0].get("loc", ())), 100)
    what = str(errors[0].get("msg", "not valid")).removeprefix("Value error, ")
    return cut(f"{where}: {what}" if where else what, 500)


def _without_422(document: dict[str, Any]) -> None:
    """FastAPI documents a 422 of its own for validation; here validation is a 400 with a problem document."""
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            _validation_is_400(operation)
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)


def _validation_is_400(operation: Any) -> None:
    answers = operation.get("responses", {}) if isinstance(operation, dict) else {}
    if "HTTPValidationError" in str(answers.get("422")):
        del answers["422"]
        answers.setdefault("400", responses(Code.BAD_REQUEST)[400])
