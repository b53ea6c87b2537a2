"""The route /sse, before a stream begins."""

from __future__ import annotations

from starlette.requests import Request

from services.gateway.transports.sse import SseRoute
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from tests.unit.gateway.transports.gate import Gate


def asked(query):
    scope = {"type": "http", "method": "GET", "path": "/sse", "client": ("192.0.2.1", 1)}
    return Request({**scope, "query_string": query.encode(), "headers": []})


async def test_channels_that_nobody_listens_to_count_as_on_a_socket():
    gate, sought = Gate(), []

    def seek(address, channel):
        sought.append((address, channel))
        if len(sought) == 3:
            raise OpenlineError(Code.RATE_LIMITED, "too many new channels", retry_after=1)

    gate.seek = seek
    route = SseRoute(gate, Origins(()))
    await route.stream(asked("channel=public:a&channel=public:b&anonymous=1"))
    gate.quota.release("192.0.2.1")
    answer = await route.stream(asked("channel=public:c&anonymous=1"))
    assert sought == [("192.0.2.1", f"public:{name}") for name in "abc"]
    assert b"too many new channels" in answer.body
    gate.quota.admit("192.0.2.1", 0)  # what was refused holds no place
