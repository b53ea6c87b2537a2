"""Notifications by topic: the simplest call there is, for a script, a form or a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.kernel.domain.capabilities import Action
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.permissions import check_http
from services.publisher.routes import answers, bodies, reading
from services.publisher.routes.describe import TOPIC, Body, operation, parameter
from services.publisher.routes.guard import PUBLISH, Calls

SECRETS = frozenset({"token", "access_token", "ticket"})
"""Names of query fields that a caller means for us: published they would be shown to every subscriber."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_TYPES = (reading.JSON, reading.FORM, reading.MULTIPART)


class NotifyRoutes(Calls):
    """`POST /notify/{topic}`."""

    def add_to(self, router: APIRouter) -> None:
        """Register the call."""
        operation(
            router,
            "POST",
            "/notify/{topic:path}",
            call=self.notify,
            summary="Send a notification",
            parameters=(
                TOPIC,
                parameter("title", "query", {"type": "string"}),
                parameter("message", "query", {"type": "string"}),
                parameter("level", "query", {"type": "string", "enum": list(bodies.LEVELS)}),
            ),
            bodies=tuple(Body("Notification", media_type) for media_type in _TYPES),
            body_required=False,
            success=(200, "Sent"),
            refusals=(400, 401, 403, 404, 413, 415, 422, 429, 503),
        )

    async def notify(self, request: Request) -> Response:
        """Publish an object of the fields given in query and body to `notify:{topic}`.

        `type` (`notification`) and `timestamp` (ISO 8601, UTC) are added where they are missing.
        """
        claims = await self._guard.caller(request, PUBLISH)
        topic = request.path_params["topic"]
        channel = self._publisher.check_channel(f"notify:{topic}")
        check_http(claims, channel, Action.PUBLISH, scope=PUBLISH)
        query, body = _query(request), await _body(request)
        _check(query)
        _check(body)
        stored = await self._publisher.notify(topic, {**query, **body}, subject=claims.sub)
        return answers.answer(bodies.Sent(sent=stored.subscribers, offset=stored.offset))


def _query(request: Request) -> dict[str, Any]:
    fields = reading.collected(reading.Query(request).fields)
    for name in SECRETS & fields.keys():
        raise OpenlineError(
            Code.BAD_REQUEST,
            f"{name} in the query would be published; send the header Authorization: Bearer",
        )
    return fields


async def _body(request: Request) -> Mapping[str, Any]:
    media_type = reading.media_type(request)
    if media_type == reading.MULTIPART:
        return await _multipart(request)
    raw = await request.body()
    if media_type == reading.JSON:
        return reading.decode(raw, _OBJECT)
    if media_type == reading.FORM:
        return reading.collected(reading.pairs(raw))
    if raw:
        raise reading.unsupported(*_TYPES)
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
            if name == "level" and text not in bodies.LEVELS:
                raise OpenlineError(Code.BAD_REQUEST, f"level is one of {', '.join(bodies.LEVELS)}")


def _text(name: str, value: Any) -> str:
    if isinstance(value, msgspec.Raw):
        return reading.decode_field(name, bytes(value), _TEXT)
    if isinstance(value, str):
        return value
    raise OpenlineError(Code.BAD_REQUEST, f"give {name} once")
