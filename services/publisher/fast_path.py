"""The fast path of publishing: past FastAPI and its layers, which cost several times what publishing does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any, NamedTuple

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kernel.domain.codes import OpenlineError
from services.kernel.http import middleware, problems
from services.kernel.http.bodies import JSON
from services.kernel.http.known_heads import Answer
from services.publisher import metrics
from services.publisher.routes import answers, reading
from services.publisher.routes.publishing import Publishing
from services.publisher.routes.reading import BareRequest

_END = "/messages"
_JSON_TYPE = (b"content-type", b"application/json")

log = structlog.get_logger(__name__)


class Call(NamedTuple):
    """A call that has the fast path: its route for the metrics, its answer's status, and what it takes."""

    route: str
    run: Callable[[BareRequest, str], Awaitable[bytes]]
    status: int
    media_types: tuple[str, ...]


class FastPath:
    """The outermost ASGI application: answers plain requests to publish as `app` would, byte for byte.

    Left to `app` is what is rare: bodies of unknown or too great length, other media types, content codings, and calls from browsers'
    pages when origins are allowed, which the layer that knows CORS answers.
    """

    def __init__(
        self, app: ASGIApp, publishing: Publishing, *, body_bytes: int, cors: bool
    ) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._cors = cors
        # As the CORS layer does on every answer, so that no cache gives a page another's.
        self._vary = ((b"vary", b"Origin"),) if cors else ()
        one = (answers.CREATED, (JSON, reading.OCTETS))
        self._named = {
            "/v1/channels/": Call("/v1/channels/{channel}/messages", publishing.publish, *one),
            "/v1/users/": Call("/v1/users/{user}/messages", publishing.publish_to_user, *one),
        }
        self._batch = Call("/v1/messages", publishing.publish_batch, 200, (JSON,))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        post = scope["type"] == "http" and scope["method"] == "POST"
        call, name = self._call(scope["path"]) if post else (None, "")
        if (
            call is None
            or not self._is_plain(request := BareRequest(scope, receive))
            or request.media_type not in call.media_types
        ):
            await self._app(scope, receive, send)
            return
        answer = await self._answer(call, name, request)
        if answer is not None:
            start = {"status": answer.status, "headers": answer.headers}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": answer.body})

    def prepare(self, headers: list[tuple[bytes, bytes]]) -> BareRequest | None:
        """See Plain in known_heads.py."""
        request = BareRequest({"headers": headers})
        return request if self._is_plain(request) else None

    def answer(
        self, prepared: BareRequest, path: str, body: bytes, client: tuple[str, int] | None
    ) -> Coroutine[Any, Any, Answer | None] | None:
        """See Plain in known_heads.py."""
        call, name = self._call(path)
        if (
            call is None
            or prepared.media_type not in call.media_types
            or len(body) > self._body_bytes
        ):
            return None
        return self._answer(call, name, prepared.anew(path, body, client))

    async def _answer(self, call: Call, name: str, request: BareRequest) -> Answer | None:
        """What the call comes to, None when the client left; a fault of ours is logged and answered without details."""
        begun = perf_counter()
        request_id = middleware.identify(
            request.scope, request.headers.get(b"x-request-id", b"").decode("latin-1")
        )
        named = (*self._vary, (b"x-request-id", request_id.encode()))
        try:
            body = await call.run(request, name)
            length = (b"content-length", b"%d" % len(body))
            answer = Answer(call.status, [length, _JSON_TYPE, *named], body)
        except OpenlineError as error:
            answer = _of(problems.response(error), *named)
        except ClientDisconnect:
            return None
        except Exception as error:
            log.exception("publish_failed", route=call.route)
            answer = _of(await problems.unexpected(Request(request.scope), error))
        metrics.answered(call.route, "POST", answer.status, perf_counter() - begun)
        return answer

    def _call(self, path: str) -> tuple[Call | None, str]:
        if path == self._batch.route:
            return self._batch, ""
        for start, call in self._named.items():
            if path.startswith(start):
                name = path[len(start) : -len(_END)]
                if path == f"{start}{name}{_END}" and "\n" not in name:
                    return call, name
        return None, ""

    def _is_plain(self, request: BareRequest) -> bool:
        length = request.headers.get(b"content-length", b"")
        return (
            length.isdigit()
            and len(length) <= len(str(self._body_bytes))
            and int(length) <= self._body_bytes
            and b"content-encoding" not in request.headers
            and not (self._cors and b"origin" in request.headers)
        )


def _of(response: Response, *more: tuple[bytes, bytes]) -> Answer:
    return Answer(response.status_code, [*response.raw_headers, *more], bytes(response.body))
