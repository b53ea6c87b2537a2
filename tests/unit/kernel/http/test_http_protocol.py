"""What is not a request, or too large or slow a one, is refused with a problem document, and its connection ends."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial

import pytest

from services.kernel.domain.limits import Limits
from services.kernel.http.http_protocol import HttpProtocol
from tests.support.http_line import HttpLine
from tests.support.uvicorn_server import serving

pytestmark = pytest.mark.server

USUAL = Limits()
HASTY = Limits(head_seconds=0.2, body_seconds=0.2)
SMALL = Limits(head_bytes=40_000, head_lines=60, pipelined_requests=2)


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
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
    ):
        client.sendall(start + b"Host: x\r\n\r\n")
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0] == b"http/1.1 400 bad request"
    assert b"content-type: application/problem+json" in lines
    assert b"content-length: %d" % len(body) in lines
    assert b"connection: close" in lines
    assert (json.loads(body)["status"], json.loads(body)["code"]) == (400, "bad_request")


async def patient(scope, receive, send):
    """Reads the whole body, thinks, and answers."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.4)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def connected(app, limits=USUAL):
    with (
        serving(app, ws="none", http=partial(HttpProtocol, limits=limits)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
    ):
        yield client


def said(client):
    """All that the server says until it hangs up; a reset ends it as well."""
    data = b""
    try:
        while chunk := client.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def refusal(client):
    head, _, body = said(client).partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert int(head.split()[1]) == problem["status"]
    return problem["status"], problem["detail"]


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("start", [HEAD, HEAD + b"Content-Length: 100000\r\n\r\n"])
def test_a_request_that_comes_drop_by_drop_is_refused(start):
    with connected(nobody if start is HEAD else patient, HASTY) as client:
        done = threading.Event()

        def drip():
            for byte in start + b"X: yyyyyy" * 1000:
                if done.wait(0.01):
                    return
                try:
                    client.sendall(bytes([byte]))
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        status, detail = refusal(client)
        done.set()
        thread.join()
    assert (status, "must come within 0.2 s, its body within 0.2 s" in detail) == (408, True)


def test_who_says_nothing_is_cut_off():
    with connected(nobody, HASTY) as client:
        assert said(client) == b""


def test_an_answer_may_take_longer_than_its_request():
    request = HEAD + b"Content-Length: 2\r\n\r\nhi"
    listening = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(listening.getsockname(), timeout=60) as client:
        client.sendall(request)  # there before its time begins, however busy the machine is
        with serving(
            patient, ws="none", sockets=[listening], http=partial(HttpProtocol, limits=HASTY)
        ):
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.3)  # between requests uvicorn's own time counts
            client.sendall(request)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def sent_in_pieces(client, wire, piece):
    try:
        for start in range(0, len(wire), piece):
            client.sendall(wire[start : start + piece])
    except OSError:
        pass  # it hung up before all was sent


@pytest.mark.parametrize("limits", [USUAL, SMALL], ids=["usual", "small"])
@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_a_head_that_is_too_large_is_refused_however_it_comes(limits, piece):
    large = b"X: " + b"y" * limits.head_bytes
    for rest in (large, b"x:\r\n" * (limits.head_lines + 10), b"x:\r\n" * 30_000):
        with connected(nobody, limits) as client:
            sent_in_pieces(client, HEAD + rest + b"\r\n\r\n", piece)
            answer = said(client)
        # A reset may take the answer away, if much was on its way.
        most = f"at most {limits.head_lines} headers, of {limits.head_bytes:,} bytes"
        assert answer == b"" or most.encode() in answer


@pytest.mark.parametrize("limits", [USUAL, SMALL], ids=["usual", "small"])
def test_a_head_as_large_as_allowed_passes(limits):
    with connected(patient, limits) as client:
        large = b"X: " + b"y" * (limits.head_bytes - 100)
        client.sendall(HEAD + large + b"\r\nConnection: close\r\n\r\n")
        assert said(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("limits", [USUAL, SMALL], ids=["usual", "small"])
def test_requests_that_do_not_wait_for_answers_are_bounded(limits):
    with connected(patient, limits) as client:
        client.sendall((HEAD + b"\r\n") * (limits.pipelined_requests + 2))
        assert f"at most {limits.pipelined_requests} requests wait" in refusal(client)[1]


async def refusing(scope, receive, send):
    """Refuses each request before its body has come."""
    await send(
        {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"no"})


REFUSED = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno"


@pytest.fixture
async def line():
    line = HttpLine(refusing, HttpProtocol)
    yield line
    line.end()


async def test_a_refusal_waits_for_a_small_body_that_is_on_its_way(line):
    """nginx, which passes a body on as it comes, ends its client's connection where the answer comes first."""
    for _ in range(2):
        assert await line.hear(HEAD + b"Content-Length: 4\r\n\r\nab") == b""
        assert await line.hear(b"cd") == REFUSED
    assert not line.closed
    assert await line.hear(HEAD + b"Content-Length: 4\r\n\r\nabcd") == REFUSED


@pytest.mark.parametrize(
    "more",
    [
        b"Content-Length: 65537",
        b"Content-Length: 99999999",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue\r\nContent-Length: 4",
    ],
)
async def test_a_refusal_does_not_wait_for_what_is_large_or_waits_itself(line, more):
    assert await line.hear(HEAD + more + b"\r\n\r\n") == REFUSED


async def test_a_refusal_comes_when_the_time_of_the_body_is_over(line):
    assert await line.hear(HEAD + b"Content-Length: 4\r\n\r\nab") == b""
    line.protocol._expire()
    assert (line.writes, line.closed) == ([REFUSED], True)
