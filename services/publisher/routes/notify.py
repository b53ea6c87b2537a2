"""Notifications by topic: the simplest call there is, for a script, a form or a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from services.kernel.domain.capabilities import Action
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.permissions import check_http
from services.kernel.http.bodies import JSON, media_type, unsupported
from services.publisher.routes import describe, reading
from services.publisher.routes.callers import PartsOf, Sender, Topic
from services.publisher.routes.guard import PUBLISH
from services.publisher.routes.models import LEVELS, NotifyQuery, Sent
from services.publisher.routes.reading import BareRequest

SECRETS = frozenset({"token", "access_token", "ticket"})
"""Names of query fields that a caller means for us: published they would be shown to every subscriber."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_TYPES = (JSON, reading.FORM, reading.MULTIPART)


router = APIRouter(generate_unique_id_function=describe.operation_id)


@router.post(
    "/notify/{topic:path}",
    summary="Send a notification",
    responses=describe.refusals(400, 401, 403, 404, 413, 415, 422, 429, 503),
    openapi_extra={
        **describe.parameters(NotifyQuery, key=True),
        **describe.body("Notification", *_TYPES, required=False),
    },
)
async def notify(request: Request, of: PartsOf, claims: Sender, topic: Topic) -> Sent:
    """Publish an object of the fields given in query and body to `notify:{topic}`.

    `type` (`notification`) and `timestamp` (ISO 8601, UTC) are added where they are missing.
    """
    channel = of.publisher.check_channel(f"notify:{topic}")
    check_http(claims, channel, Action.PUBLISH, scope=PUBLISH)
    query, body = _query(request), await _body(request)
    _check(query)
    _check(body)
    key = reading.idempotency_key(BareRequest(request.scope))
    stored = await of.publisher.notify(topic, {**query, **body}, subject=claims.sub, key=key)
    return Sent(sent=stored.subscribers, offset=stored.offset)


def _query(request: Request) -> dict[str, Any]:
    fields = reading.collected(reading.pairs(request.scope["query_string"]))
    for name in SECRETS & fields.keys():
        raise OpenlineError(
            Code.BAD_REQUEST,
            f"{name} in the query would be published; send the header Authorization: Bearer",
        )
    return fields


async def _body(request: Request) -> Mapping[str, Any]:
    kind = media_type(request)
    if kind == reading.MULTIPART:
        return await _multipart(request)
    raw = await request.body()
    if kind == JSON:
        return reading.decode(raw, _OBJECT)
    if kind == reading.FORM:
        return reading.collected(reading.pairs(raw))
    if raw:
        raise unsupported(*_TYPES)
    return {}


async def _multipart(request: Request) -> Mapping[str, Any]:
    # A charset chooses Python's codec for the fields. There is none in RFC 7578, and a stranger must not have the choice:
    # punycode takes minutes for a form of our size, and others give what is no text.
    _, options = parse_options_header(request.headers["content-type"])
    if options.get(b"charset", b"utf-8").lower() != b"utf-8":
        raise HTTPException(415, "send the form in UTF-8, without another charset in Content-Type")
    # The parser takes a form that was cut off for one without its last field.
    if b"--%b--" % options.get(b"boundary", b"") not in await request.body():
        raise OpenlineError(Code.BAD_REQUEST, "the form does not end with its boundary")
    async with request.form(max_files=0, max_fields=reading.MAX_FIELDS) as form:
        items = form.multi_items()
    return reading.collected(
        (name, value) for name, value in items if not isinstance(value, UploadFile)
    )


def _check(fields: Mapping[str, Any]) -> None:
    for name in ("title", "message", "level"):
        if name in fields:
            text = _text(name, fields[name])
            if name == "level" and text not in LEVELS:
                raise OpenlineError(Code.BAD_REQUEST, f"level is one of {', '.join(LEVELS)}")


def _text(name: str, value: Any) -> str:
    if isinstance(value, msgspec.Raw):
        return reading.decode_field(name, bytes(value), _TEXT)
    if isinstance(value, str):
        return value
    raise OpenlineError(Code.BAD_REQUEST, f"give {name} once")
