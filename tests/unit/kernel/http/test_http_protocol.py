"""What is no request is refused with a problem document, and its connection ends."""

from __future__ import annotations

import json
import socket

import pytest

from services.kernel.http.http_protocol import HttpProtocol
from tests.support.uvicorn_server import serving


async def nobody(scope, receive, send):
    raise AssertionError("no application sees this")


@pytest.mark.parametrize(
    "start",
    [b"NOVEL / HTTP/1.1\r\n", b"GET /\xff HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX-Bell: \x07\r\n"],
    ids=["method", "address", "header"],
)
def test_what_cannot_be_read_is_a_problem_document(start):
    with (
        serving(nobody, ws="none", http=HttpProtocol) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as client,
    ):
        client.sendall(start + b"Host: x\r\n\r\n")
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"http/1.1 400 bad request"
    assert b"content-type: application/problem+json" in lines
    assert b"content-length: %d" % len(body) in lines
    assert b"connection: close" in lines
    assert (json.loads(body)["status"], json.loads(body)["code"]) == (400, "bad_request")
