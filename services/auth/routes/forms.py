"""The forms of OAuth endpoints: parameters, client authentication, and the shape of their refusals (RFC 6749)."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import structlog
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from services.auth import metrics, oauth
from services.auth.oauth import OAuthError
from services.auth.settings import MAX_BODY
from services.kernel.http import bodies, openapi
from services.kernel.ops import redaction

FORM = "application/x-www-form-urlencoded"
NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
MAX_FIELDS = 32
CLIENT = "client"
"""Name of the security scheme."""

_log = structlog.get_logger(__name__)

ERROR: dict[str, Any] = {
    "type": "object",
    "title": "OAuthError",
    "description": "RFC 6749 section 5.2",
    "required": ["error", "error_description"],
    "properties": {
        "error": {"type": "string", "enum": list(oauth.ERRORS)},
        "error_description": {"type": "string"},
    },
}


async def read(request: Request) -> dict[str, str]:
    """The parameters of a form. One without a value counts as omitted, one that comes twice is refused (section 3.2).

    Raises `OAuthError`.
    """
    if bodies.media_type(request) != FORM:
        raise _invalid(f"send the parameters as a form, with Content-Type: {FORM}")
    body = await bodies.read(request, limit=MAX_BODY)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise _invalid(
            f"the form is not ASCII, percent-encoded UTF-8 of at most {MAX_FIELDS} fields"
        ) from None
    form: dict[str, str] = {}
    for name, value in pairs:
        if name in form:
            raise _invalid("a parameter came more than once")
        form[name] = value
    return {name: value for name, value in form.items() if value}


def required(form: Mapping[str, str], name: str) -> str:
    """A parameter that must be there. Raises `invalid_request` naming it."""
    if name not in form:
        raise _invalid(f"the parameter {name} is missing")
    return form[name]


def client(request: Request, form: Mapping[str, str]) -> tuple[str, str] | None:
    """Id and secret of the client, by Basic or in the form (section 2.3.1); None when there is neither.

    Raises `invalid_request` for both at once, `invalid_client` for what cannot be read.
    """
    given = request.headers.getlist("authorization")
    if not given:
        return _from_form(form)
    if len(given) > 1:
        raise _invalid("the Authorization header came more than once")
    found = _basic(given[0])
    if "client_secret" in form:
        raise _invalid("authenticate the client in one way only")
    if form.get("client_id", found[0]) != found[0]:
        raise _invalid("client_id is not the client of the Authorization header")
    return found


def _from_form(form: Mapping[str, str]) -> tuple[str, str] | None:
    if "client_id" not in form and "client_secret" not in form:
        return None
    if "client_id" not in form or "client_secret" not in form:
        raise OAuthError(oauth.INVALID_CLIENT, "send both client_id and client_secret")
    return form["client_id"], form["client_secret"]


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:
        text = ""
    name, colon, secret = text.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise OAuthError(
            oauth.INVALID_CLIENT, "the Authorization header must be Basic with client id and secret"
        )
    return unquote_plus(name), unquote_plus(secret)


def _invalid(description: str) -> OAuthError:
    return OAuthError(oauth.INVALID_REQUEST, description)


async def refused(request: Request, error: Exception) -> Response:
    """Exception handler: the answer to an `OAuthError`."""
    assert isinstance(error, OAuthError)
    metrics.FAILURES.labels(error.error).inc()
    _log.info("request_refused", path=redaction.path(request.url.path), error=error.error)
    headers = dict(NO_STORE)
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if error.error == oauth.INVALID_CLIENT:
        headers["www-authenticate"] = 'Basic realm="openline", charset="UTF-8"'
    # The description's characters are limited (section 5.2).
    said = re.sub(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]", "'", error.description)
    return JSONResponse(
        {"error": error.error, "error_description": said}, status_code=error.status, headers=headers
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that refuses with these statuses."""
    content = {"application/json": {"schema": ERROR}}
    return {status: {"description": _MEANING[status], "content": content} for status in statuses}


_MEANING = {
    400: "invalid_request, invalid_grant, invalid_scope, unauthorized_client, unsupported_grant_type",
    401: "invalid_client",
    403: "access_denied",
    413: "invalid_request: the body is too large",
    429: "slow_down",
    503: "temporarily_unavailable",
}


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra=` of a route that reads this form; the client may also authenticate by Basic."""
    return {
        "requestBody": {"required": True, "content": {FORM: {"schema": schema}}},
        "security": [{}, {CLIENT: []}],
    }


def document(app: FastAPI) -> None:
    """Name the client's Basic authentication in the OpenAPI document of `app`."""
    openapi.amend(app, _name_basic)


def _name_basic(document: dict[str, Any]) -> None:
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes[CLIENT] = {
        "type": "http",
        "scheme": "basic",
        "description": "client id and secret; both may also be parameters of the form",
    }
