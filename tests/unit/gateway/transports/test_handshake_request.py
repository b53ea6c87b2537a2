"""The short look at a handshake sees what Starlette's long one does."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from services.gateway.transports.handshake_request import HandshakeRequest
from services.gateway.websocket import Request

HEADERS = [
    (b"host", b"here"),
    (b"cookie", b"a=b; openline_token=x"),
    (b"authorization", b"Bearer \xe9"),
    (b"host", b"second"),
    (b"cookie", b"c=d"),
]


@pytest.mark.parametrize(
    "query",
    ["", "a=b", "a=b&a=c", "a", "a=&b", "=x", "&&a=b&", "a=b=c", "a=%41+b&c=d%3A1", "a;b=c", "é=ü"],
)
@pytest.mark.parametrize("headers", [[], HEADERS])
def test_as_starlette_has_it(query, headers):
    request = Request()
    request.target = b"/ws?" + query.encode()
    for name, value in headers:
        request.on_header(name, value)
    asked = HandshakeRequest(request)
    scope = {"type": "websocket", "headers": headers, "query_string": query.encode()}
    slow = HTTPConnection(scope)
    assert asked.path == b"/ws"
    for name in ("a", "b", "c", "a;b", "é".encode().decode("latin-1"), "none"):
        assert asked.query_params.get(name) == slow.query_params.get(name)
    for name in ("host", "authorization", "cookie", "none"):
        assert asked.headers.get(name) == slow.headers.get(name)
