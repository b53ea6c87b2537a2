"""The route of streams: what is answered when the session that was to begin is refused."""

from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from services.gateway.transports.sse import SseRoute
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from tests.unit.gateway.transports.gate import Gate

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/sse",
    "query_string": b"channel=public:all&token=bob",
    "headers": [(b"accept", b"text/event-stream")],
    "client": ("192.0.2.7", 1234),
}


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (OpenlineError(Code.UNAUTHORIZED, "the token has been revoked"), "unauthorized"),
        (OpenlineError(Code.LIMIT_EXCEEDED, "a user has at most 100"), "rate_limited"),
    ],
)
async def test_a_session_that_may_not_begin_is_refused_for_its_own_reason(refusal, code):
    gate, sent = Gate(), []
    gate.refusal = refusal

    async def receive():
        raise AssertionError("nothing is read")

    async def send(message):
        sent.append(message)

    answer = await SseRoute(gate, Origins("")).stream(Request(SCOPE))
    await answer(SCOPE, receive, send)
    start, body = sent
    assert start["status"] == 200
    problem = json.loads(body["body"].decode().split("data: ")[1])
    assert (problem["code"], problem["message"]) == (code, refusal.message)
