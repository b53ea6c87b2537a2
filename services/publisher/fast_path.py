"""The fast path of publishing: past FastAPI and its layers, which cost several times what publishing does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, NamedTuple

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kernel.domain.codes import OpenlineError
from services.kernel.http import middleware, problems
from services.kernel.http.bodies import JSON
from services.kernel.http.known_heads import Answer
from services.publisher import metrics
from services.publisher.routes import answers, reading
from services.publisher.routes.publishing import Publishing, Shared
from services.publisher.routes.reading import BareRequest

_END = "/messages"
_JSON_TYPE = (b"content-type", b"application/json")

log = structlog.get_logger(__name__)


class Call(NamedTuple):
    """A call that has the fast path: its route for the metrics, its answer's status, and what it takes.

    `to` tells the channel of a name where the call can be begun without waiting.
    """

    route: str
    run: Callable[[BareRequest, str], Awaitable[bytes]]
    status: int
    media_types: tuple[str, ...]
    to: Callable[[str], str] | None = None


class _Prepared(NamedTuple):
    """What requests with the same headers have in common; `headers` are those without an id."""

    headers: list[tuple[bytes, bytes]]
    media_type: str
    shared: Shared


class FastPath:
    """The outermost ASGI application: answers plain requests to publish as `app` would, byte for byte.

    Left to `app` is what is rare: bodies of unknown or too great length, other media types, content codings, and calls from browsers'
    pages when origins are allowed, which the layer that knows CORS answers.
    """

    def __init__(
        self, app: ASGIApp, publishing: Publishing, *, body_bytes: int, cors: bool
    ) -> None:
        self._app = app
        self._publishing = publishing
        self._body_bytes = body_bytes
        self._cors = cors
        # As the CORS layer does on every answer, so that no cache gives a page another's.
        self._vary = ((b"vary", b"Origin"),) if cors else ()
        self._waiting: set[asyncio.Task[None]] = set()
        one, kinds = answers.CREATED, (JSON, reading.OCTETS)
        channel, user = "/v1/channels/{channel}/messages", "/v1/users/{user}/messages"
        of = publishing
        self._named = {
            "/v1/channels/": Call(channel, of.publish, one, kinds, of.channel),
            "/v1/users/": Call(user, of.publish_to_user, one, kinds, of.personal),
        }
        self._batch = Call("/v1/messages", of.publish_batch, 200, (JSON,))

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

    def prepare(self, headers: list[tuple[bytes, bytes]]) -> _Prepared | None:
        """See Plain in known_heads.py."""
        request = BareRequest({"headers": headers})
        shared = self._publishing.shared(request) if self._is_plain(request) else None
        if shared is None:
            return None
        kept = [header for header in headers if header[0] != b"x-request-id"]
        return _Prepared(kept, request.media_type, shared)

    def answer(
        self,
        prepared: _Prepared,
        path: str,
        body: bytes,
        *,
        request_id: str,
        client: tuple[str, int] | None,
        done: Callable[[Answer | None], None],
    ) -> bool:
        """See Plain in known_heads.py."""
        request_id = middleware.request_id(request_id)
        call, name = self._call(path)
        if (
            call is None
            or prepared.media_type not in call.media_types
            or len(body) > self._body_bytes
        ):
            return False
        begun = call.to is not None and self._begin(
            call, name, prepared, body=body, request_id=request_id, done=done
        )
        if not begun:
            named = (b"x-request-id", request_id.encode())
            scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path}
            scope |= {"query_string": b"", "headers": [*prepared.headers, named], "client": client}
            request = BareRequest(scope, body=body)
            waiting = asyncio.create_task(self._wait(call, name, request, done))
            self._waiting.add(waiting)
            waiting.add_done_callback(self._waiting.discard)
        return True

    async def _wait(
        self, call: Call, name: str, request: BareRequest, done: Callable[[Answer | None], None]
    ) -> None:
        done(await self._answer(call, name, request))

    def _begin(
        self,
        call: Call,
        name: str,
        prepared: _Prepared,
        *,
        body: bytes,
        request_id: str,
        done: Callable[[Answer | None], None],
    ) -> bool:
        """Answer a call with no task; False where it has to wait for something."""
        assert call.to is not None
        begun = perf_counter()

        def tell(result: bytes | OpenlineError) -> None:
            done(self._answered(call, request_id, result, begun))

        try:
            return self._publishing.begin(prepared.shared, name, call.to, raw=body, done=tell)
        except OpenlineError as error:
            tell(error)
        except Exception:
            log.exception("publish_failed", route=call.route, request_id=request_id)
            done(_counted(call, _of(problems.fault(request_id)), begun))
        return True

    async def _answer(self, call: Call, name: str, request: BareRequest) -> Answer | None:
        """What the call comes to, None when the client left; a fault of ours is logged and answered without details."""
        begun, request_id = perf_counter(), middleware.identify(request.scope, _given(request))
        result: bytes | OpenlineError
        try:
            result = await call.run(request, name)
        except OpenlineError as error:
            result = error
        except ClientDisconnect:
            return None
        except Exception:
            log.exception("publish_failed", route=call.route)
            return _counted(call, _of(problems.fault(request_id)), begun)
        return self._answered(call, request_id, result, begun)

    def _answered(
        self, call: Call, request_id: str, result: bytes | OpenlineError, begun: float
    ) -> Answer:
        named = (*self._vary, (b"x-request-id", request_id.encode()))
        if not isinstance(result, bytes):
            return _counted(call, _of(problems.response(result), *named), begun)
        metrics.answered((call.route, "POST", call.status, perf_counter() - begun))
        length = (b"content-length", b"%d" % len(result))
        return Answer(call.status, [length, _JSON_TYPE, *named], result)

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


def _counted(call: Call, answer: Answer, begun: float) -> Answer:
    metrics.answered((call.route, "POST", answer.status, perf_counter() - begun))
    return answer


def _given(request: BareRequest) -> str:
    return request.headers.get(b"x-request-id", b"").decode("latin-1")


def _of(response: Response, *more: tuple[bytes, bytes]) -> Answer:
    return Answer(response.status_code, [*response.raw_headers, *more], bytes(response.body))
