"""Plain ASGI middleware that the HTTP services share: request ids, a limit on bodies, CORS."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from services.kernel.http import problems

_METHODS = ("GET", "POST", "DELETE")
_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id")
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class RequestId:
    """Gives each request an id: the `X-Request-Id` it came with when that is sane, else a new one.

    The id is in every log line of the request, in `scope["state"]["request_id"]` and in the answer's header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        found = identify(scope, Headers(scope=scope).get("x-request-id", ""))

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = found
            await send(message)

        await self.app(scope, receive, named)


def identify(scope: Scope, given: str) -> str:
    """The id of a request: `given` when that is sane, else a new one. From now on it is in the scope and all logs."""
    found = request_id(given)
    scope.setdefault("state", {})["request_id"] = found
    structlog.contextvars.bind_contextvars(request_id=found)
    return found


def request_id(given: str) -> str:
    """`given` as the id of a request when that is sane, else a new one."""
    # It need not be hard to guess, so it costs no system call.
    return given if given and _SANE.match(given) else f"{random.getrandbits(128):032x}"


class BodyLimit:
    """Refuses bodies of more than `limit` bytes with 413: at once by Content-Length, else while they stream in.

    One with a content coding is refused with 415: nothing here unpacks, and read as it is it would be called no JSON.
    """

    def __init__(self, app: ASGIApp, limit: int = 1_048_576) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        await (refusal or self.app)(scope, self._counted(receive), send)

    def _refusal(self, headers: Headers) -> Response | None:
        length = headers.get("content-length", "0")
        # The body was not read: without closing, its bytes would be taken for the next request.
        closing = {"connection": "close"}
        if length.isdecimal() and int(length[:20]) > self.limit:
            refusal = OpenlineError(Code.TOO_LARGE, self._detail())
            return problems.response(refusal, headers=closing)
        coding = headers.get("content-encoding", "").strip().lower()
        if coding in ("", "identity") or (length == "0" and "transfer-encoding" not in headers):
            return None
        refusal = OpenlineError(
            Code.BAD_REQUEST,
            "send the body as it is, without Content-Encoding: nothing is unpacked",
        )
        return problems.response(
            refusal, status=415, headers=closing | {"accept-encoding": "identity"}
        )

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                # HTTPException is the one error that FastAPI lets through while it reads a body.
                raise HTTPException(413, self._detail())
            return message

        return counted

    def _detail(self) -> str:
        return f"a body is at most {self.limit} bytes"


class _Cors(CORSMiddleware):
    """CORS that asks our list of origins, which knows `scheme://host:*`."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        super().__init__(
            app,
            allow_methods=_METHODS,
            allow_headers=_HEADERS,
            expose_headers=("Retry-After", "X-Request-Id"),
            max_age=600,
        )
        self._origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether a browser on that origin may."""
        return self._origins.allows(origin)

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight; a refusal is a problem document, as every other is."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == HTTPStatus.OK:
            return answer
        refusal = OpenlineError(
            Code.BAD_REQUEST,
            f"{bytes(answer.body).decode()}; OPENLINE_ALLOWED_ORIGINS lists the origins, "
            f"methods are {', '.join(_METHODS)}, headers {', '.join(_HEADERS)}",
        )
        kept = {k: v for k, v in answer.headers.items() if not k.startswith("content-")}
        return problems.response(refusal, headers=kept)


def install(
    app: FastAPI, *, allowed_origins: Sequence[str] = (), body_bytes: int = 1_048_576
) -> None:
    """Give `app` request ids, a body limit, and CORS for the allowed origins (no cookies: tokens are headers)."""
    app.add_middleware(BodyLimit, limit=body_bytes)
    if allowed_origins:
        app.add_middleware(_Cors, origins=Origins(allowed_origins))
    app.add_middleware(RequestId)
