"""The lane of those who publish: past FastAPI and its layers, which cost several times what publishing does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import NamedTuple

import structlog
from starlette.requests import Request
from starlette.responses import Response

from services.kernel.domain.codes import OpenlineError
from services.kernel.http import middleware, problems
from services.publisher import metrics
from services.publisher.routes import answers, reading
from services.publisher.routes.messages import MessageRoutes
from services.publisher.routes.reading import BareRequest

_END = "/messages"
_JSON = (b"content-type", b"application/json")
_LEFT = frozenset({b"expect", b"upgrade"})
"""Headers that say how to go on with the connection: the application's server knows."""
_KEPT = frozenset({b"keep-alive"})
"""The `Connection` that httpx, requests and Node send with every request; HTTP/1.1 means it anyway."""

log = structlog.get_logger(__name__)


class Call(NamedTuple):
    """A call that has the lane: its route for the metrics, its answer's status, and what it takes."""

    route: str
    run: Callable[[BareRequest, str], Awaitable[bytes]]
    status: int
    media_types: tuple[str, ...]


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Lane:
    """Answers plain requests to publish as the application would, byte for byte.

    Left to the application is what is rare: bodies of unknown or too great length, other media types, calls from
    browsers' pages, and what says how its connection should go on.
    """

    def __init__(self, messages: MessageRoutes, *, body_bytes: int, cors: bool) -> None:
        self._body_bytes = body_bytes
        # A browser's page is answered by the layer that knows CORS.
        self._left = _LEFT | {b"origin"} if cors else _LEFT
        # As that layer does on every answer, so that no cache gives a page another's.
        self._vary = ((b"vary", b"Origin"),) if cors else ()
        one = (answers.CREATED, (reading.JSON, reading.OCTETS))
        self._named = {
            "/v1/channels/": Call("/v1/channels/{channel}/messages", messages.publish, *one),
            "/v1/users/": Call("/v1/users/{user}/messages", messages.publish_to_user, *one),
        }
        self._batch = Call("/v1/messages", messages.publish_batch, 200, (reading.JSON,))

    def find(self, asked: BareRequest) -> tuple[Call, str] | None:
        """The call of a POST, and the channel or user that its path names; None if the application is to answer."""
        call, name = self._call(asked.scope["path"])
        return (call, name) if call is not None and self._is_plain(asked, call) else None

    async def answer(self, call: Call, name: str, asked: BareRequest) -> Answer:
        """What the call comes to; a fault of ours is logged and answered without details."""
        begun = perf_counter()
        request_id = middleware.identify(
            asked.scope, asked.headers.get(b"x-request-id", b"").decode("latin-1")
        )
        named = (*self._vary, (b"x-request-id", request_id.encode()))
        try:
            body = await call.run(asked, name)
            length = (b"content-length", b"%d" % len(body))
            answer = Answer(call.status, [length, _JSON, *named], body)
        except OpenlineError as error:
            answer = _of(problems.response(error), *named)
        except Exception as error:
            log.exception("lane_failed")
            answer = _of(await problems.unexpected(Request(asked.scope), error))
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

    def _is_plain(self, asked: BareRequest, call: Call) -> bool:
        length = asked.headers.get(b"content-length", b"")
        return (
            length.isdigit()
            and len(length) <= len(str(self._body_bytes))
            and int(length) <= self._body_bytes
            and self._left.isdisjoint(asked.headers)
            and asked.headers.get(b"connection", b"keep-alive").lower() in _KEPT
            and asked.media_type in call.media_types
        )


def _of(response: Response, *more: tuple[bytes, bytes]) -> Answer:
    return Answer(response.status_code, [*response.raw_headers, *more], bytes(response.body))
