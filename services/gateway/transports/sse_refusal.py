"""How `/sse` says no: a problem document, or an event to a client that would give up for good at any other answer.

A browser's EventSource comes back by itself after a stream that ended, and never after another status or type (WHATWG HTML
9.2.3); nor can a page read those. So it gets a stream of one event, with how long to wait before it comes back.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.fanout.wire_format import SSE
from services.gateway.transports.admission import PROXY
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.http import problems
from services.kernel.protocol import sse

MEDIA_TYPE = "text/event-stream"

HEADERS = {
    "content-type": f"{MEDIA_TYPE}; charset=utf-8",
    "cache-control": "no-store, no-transform",
    # Read by nginx: hand each event on as it comes.
    "x-accel-buffering": "no",
}
"""Of every stream."""

FINAL = "refused"
"""The id of a refusal that time does not mend. A client that sends it back was told why, and gets the status, which ends it."""

RETRY_SECONDS = 1.0
"""Seconds that a client refused for now waits at least; at most twice as long."""

TOKEN_SECONDS = 30.0
"""The same for a client that needs a new token: the page has to bring it, or a back end its cookie."""


def response(error: OpenlineError, request: Request, headers: Mapping[str, str]) -> Response:
    """The answer to a request that is refused; `headers` are those for a page of another origin."""
    if not asks_for_events(request) or _is_for_the_front_door(error, request):
        return problems.response(error, headers=headers)
    mends = error.temporary or error.code is Code.UNAUTHORIZED
    if not mends and request.headers.get("last-event-id") == FINAL:
        return problems.response(error, headers=headers)
    block = SSE.error(None, error)
    if not mends:
        block = b"id: %b\n%b" % (FINAL.encode(), block)
    return Response(sse.retry(_wait(error)) + block, headers={**HEADERS, **headers})


def asks_for_events(request: Request) -> bool:
    """Whether the client names the type of a stream as what it takes, as an EventSource does."""
    if request.method != "GET":
        return False
    ranges = ",".join(request.headers.getlist("accept")).split(",")
    return any(part.partition(";")[0].strip().lower() == MEDIA_TYPE for part in ranges)


def _is_for_the_front_door(error: OpenlineError, request: Request) -> bool:
    """Whether another gateway may serve it: nginx asks the next on 503, and says it by an event when none does."""
    return error.code is Code.UNAVAILABLE and PROXY in request.headers


def _wait(error: OpenlineError) -> int:
    """Milliseconds until the client comes back: spread, so that clients refused together do not return together."""
    least = max(error.retry_after or 0.0, RETRY_SECONDS)
    if error.code is Code.UNAUTHORIZED:
        least = TOKEN_SECONDS
    return int(1000 * random.uniform(least, 2 * least))  # noqa: S311 - spreads returns, hides nothing
