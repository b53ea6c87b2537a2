"""The lane of those who publish: past FastAPI and its layers, which cost several times what publishing does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from services.kernel.domain.codes import OpenlineError
from services.kernel.ops import middleware, problems
from services.publisher import metrics
from services.publisher.routes import answers, reading
from services.publisher.routes.asked import Asked
from services.publisher.routes.messages import MessageRoutes

_END = "/messages"
_UNREAD = 400
_JSON = (b"content-type", b"application/json")


class _Call(NamedTuple):
    """A call that has the lane: its route for the metrics, its answer's status, and what it takes."""

    route: str
    run: Callable[[Asked, str], Awaitable[bytes]]
    status: int
    media_types: tuple[str, ...]


class Lane:
    """ASGI: answers plain requests to publish as `app` would, byte for byte, and leaves all others to it.

    Left to `app` is what is rare: bodies of unknown or too great length, other media types, calls from browsers' pages,
    paths below a root path.
    """

    def __init__(
        self, app: ASGIApp, messages: MessageRoutes, *, body_bytes: int, cors: bool
    ) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._cors = cors
        # As the layer that answers browsers' pages does on every answer, so that no cache gives them another's.
        self._vary = ((b"vary", b"Origin"),) if cors else ()
        one = (answers.CREATED, (reading.JSON, reading.OCTETS))
        self._named = {
            "/v1/channels/": _Call("/v1/channels/{channel}/messages", messages.publish, *one),
            "/v1/users/": _Call("/v1/users/{user}/messages", messages.publish_to_user, *one),
        }
        self._batch = _Call("/v1/messages", messages.publish_batch, 200, (reading.JSON,))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            call, name = self._find(scope["path"])
            if call is not None:
                asked = Asked(scope, receive)
                if self._plain(asked, call):
                    await self._serve(call, name, asked, send)
                    return
        await self._app(scope, receive, send)

    def _find(self, path: str) -> tuple[_Call | None, str]:
        """The call of a path, and the channel or user that the path names."""
        if path == self._batch.route:
            return self._batch, ""
        for start, call in self._named.items():
            if path.startswith(start):
                name = path[len(start) : -len(_END)]
                if path == f"{start}{name}{_END}" and "\n" not in name:
                    return call, name
        return None, ""

    def _plain(self, asked: Asked, call: _Call) -> bool:
        length = asked.headers.get(b"content-length", b"")
        return (
            length.isdigit()
            and len(length) <= len(str(self._body_bytes))
            and int(length) <= self._body_bytes
            and not (self._cors and b"origin" in asked.headers)
            and asked.media_type in call.media_types
        )

    async def _serve(self, call: _Call, name: str, asked: Asked, send: Send) -> None:
        begun = perf_counter()
        request_id = middleware.identify(
            asked.scope, asked.headers.get(b"x-request-id", b"").decode("latin-1")
        )
        status = 500
        try:
            try:
                body = await call.run(asked, name)
            except OpenlineError as error:
                refusal = problems.response(error)
                status, refused = refusal.status_code, bytes(refusal.body)
                await self._send(status, refused, refusal.raw_headers, request_id, send)
            except ClientDisconnect:
                status = _UNREAD
            except Exception as error:
                request = Request(asked.scope)
                await (await problems.unexpected(request, error))(
                    asked.scope, request.receive, send
                )
                raise  # uvicorn logs it
            else:
                status = call.status
                headers = [(b"content-length", b"%d" % len(body)), _JSON]
                await self._send(status, body, headers, request_id, send)
        finally:
            metrics.answered(call.route, "POST", status, perf_counter() - begun)

    async def _send(
        self,
        status: int,
        body: bytes,
        headers: list[tuple[bytes, bytes]],
        request_id: str,
        send: Send,
    ) -> None:
        headers += (*self._vary, (b"x-request-id", request_id.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
