"""Requests that differ from the one before in path, length and body alone are answered past uvicorn, as uvicorn would."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.domain.limits import Limits
from services.kernel.http import known_heads as module
from services.kernel.http.http_protocol import HttpProtocol
from services.kernel.http.known_heads import EARLY, LARGEST, MOST, Answer, KnownHeads
from tests.support.http_line import HttpLine
from tests.support.waiting import until

HOST = [b"Host: x", b"Authorization: Bearer t"]


def request(path=b"/v1/a", body=b"hi", lines=HOST, *, start=b"POST %b HTTP/1.1"):
    named = [start % path if b"%b" in start else start, *lines, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*named, b"", body])


def connection(echo, *, known=True):
    http = partial(KnownHeads, limits=Limits(), plain=echo) if known else HttpProtocol
    return HttpLine(echo, http)


class Echo:
    """Answers with path and body, when `go` lets it: as an application, and past it."""

    def __init__(self):
        self.long = self.short = 0
        self.go = asyncio.Event()
        self.go.set()
        self.more, self.later = [], []

    def said(self, path, body, request_id=b""):
        body = path.encode() + b" " + request_id + body
        return Answer(201, [(b"content-length", b"%d" % len(body)), *self.more], body)

    async def __call__(self, scope, receive, send):
        self.long += 1
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        await self.go.wait()
        named = dict(scope["headers"]).get(b"x-request-id", b"")
        answer = self.said(scope["path"], body, named if named.isalnum() else b"")
        start = {"status": answer.status, "headers": answer.headers}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": answer.body})

    def prepare(self, headers):
        return None if (b"x-not", b"plain") in headers else headers

    def answer(self, prepared, path, body, *, request_id, client, done):
        if path == "/long":
            return False
        self.short += 1
        answer = None if path == "/left" else self.said(path, body, request_id.encode())
        if self.go.is_set():
            done(answer)
        else:
            self.later.append(asyncio.create_task(self._tell(done, answer)))
        return True

    async def _tell(self, done, answer):
        await self.go.wait()
        done(answer)


@pytest.fixture
async def echo():
    return Echo()


@pytest.fixture
async def line(echo):
    """A connection on which a plain request was answered."""
    line = connection(echo)
    await line.hear(request())
    yield line
    line.end()


async def test_another_path_length_and_body_are_answered_with_one_write_past_the_application(
    echo, line
):
    assert (echo.long, echo.short) == (1, 0)
    before = len(line.writes)
    answer = await line.hear(request(b"/v1/b:c/messages", b"longer than before"))
    assert (echo.long, echo.short, len(line.writes) - before) == (1, 1, 1)
    other = connection(Echo(), known=False)
    assert answer == await other.hear(request(b"/v1/b:c/messages", b"longer than before"))
    other.end()


@pytest.mark.parametrize(
    "other",
    [
        request(lines=[*HOST, b"X: y"]),
        request(lines=HOST[::-1]),
        request(lines=[b"Host: x", b"Authorization: Bearer u"]),
        request(start=b"POST %b HTTP/1.0"),
        request(start=b"PUT %b HTTP/1.1"),
        request(b"/v1/a%20b"),
        request(b"/v1/a?b=c"),
        request(b"/long"),
        request().replace(b"Length: 2", b"Length: 02"),
        request().replace(b"Length: 2", b"Length:2"),
        request(lines=[*HOST, b"X: content-length: 2"]),
        request() + request(),
    ],
)
async def test_what_differs_otherwise_takes_the_long_way(echo, line, other):
    await line.hear(other)
    assert echo.short == 0
    assert echo.long > 1


@pytest.mark.parametrize("cut", [1, 20, len(request()) - 3])
async def test_a_head_that_comes_in_pieces_takes_the_long_way(echo, line, cut):
    whole = request()
    assert await line.hear(whole[:cut], whole[cut:])
    assert (echo.long, echo.short) == (2, 0)
    await line.hear(request())
    assert echo.short == 1


async def test_a_body_may_come_after_its_head_in_pieces(echo, line):
    """HTTP libraries write it apart. What is sent is one write all the same."""
    whole = request(b"/v1/c", b"in pieces")
    head = whole.index(b"\r\n\r\n") + 4
    for piece in (whole[:head], whole[head : head + 2]):
        line.protocol.data_received(piece)
    assert (echo.long, echo.short) == (1, 0)
    assert (await line.hear(whole[head + 2 :])).endswith(b"/v1/c in pieces")
    assert (echo.long, echo.short) == (1, 1)


async def test_a_head_is_learnt_from_a_request_whose_body_comes_after_it(echo):
    line = connection(echo)
    whole = request()
    head = whole.index(b"\r\n\r\n") + 4
    for _ in range(2):
        await line.hear(whole[:head], whole[head:])
    assert (echo.long, echo.short) == (1, 1)
    line.end()


async def test_a_body_that_does_not_come_soon_takes_the_long_way(echo, line, monkeypatch):
    monkeypatch.setattr(module, "HELD", 0.01)
    whole = request(b"/v1/late", b"body")
    line.protocol.data_received(whole[:-2])
    await until(lambda: echo.long == 2)
    assert line.protocol._late is not None  # the rest is bounded as any other
    assert (await line.hear(whole[-2:])).endswith(b"/v1/late body")
    assert echo.short == 0


async def test_a_body_that_trickles_is_not_waited_for_longer(echo, line, monkeypatch):
    monkeypatch.setattr(module, "HELD", 0.05)
    whole = request(b"/v1/late", b"x" * 1000)
    line.protocol.data_received(whole[:-1000])
    for _ in range(999):
        await asyncio.sleep(0.001)
        line.protocol.data_received(b"x")
        if echo.long == 2:
            break
    assert (echo.long, echo.short) == (2, 0)


async def test_a_large_body_is_not_waited_for(echo, line):
    whole = request(b"/v1/large", b"x" * (EARLY + 1))
    line.protocol.data_received(whole[:-1])
    assert line.protocol._held == b""
    assert await line.hear(whole[-1:])
    assert (echo.long, echo.short) == (2, 0)


async def test_who_stops_or_leaves_while_a_body_is_waited_for(echo):
    whole = request()
    for end in ("shutdown", "lost"):
        line = connection(echo)
        await line.hear(request())
        line.protocol.data_received(whole[:-1])
        if end == "shutdown":
            line.protocol.shutdown()
            assert (await line.hear(whole[-1:])).endswith(b" hi")
            assert line.closed
        else:
            line.protocol.connection_lost(None)
            assert line.protocol._holding.cancelled()
        line.end()


async def test_a_body_that_is_waited_for_keeps_the_connection(line):
    line.protocol.data_received(request()[:-1])
    line.protocol._answered -= 2 * line.protocol.timeout_keep_alive
    line.protocol.timeout_keep_alive_handler()
    assert not line.closed
    assert await line.hear(request()[-1:])


async def test_an_id_may_differ_from_request_to_request(echo):
    """nginx gives each one its own."""
    line = connection(echo)
    for number in range(3):
        answer = await line.hear(request(lines=[*HOST, b"X-Request-Id: id%d" % number]))
        assert answer.endswith(b" id%dhi" % number)
    assert (echo.long, echo.short) == (1, 2)
    await line.hear(request(lines=[*HOST, b"X-Request-Id: not sane"]))
    await line.hear(request())
    assert (echo.long, echo.short) == (3, 2)
    line.end()


async def test_an_id_may_stand_behind_the_length(echo):
    line = connection(echo)
    for named in (b"one", b"another"):
        whole = request(body=b"x" * len(named))
        whole = whole.replace(b"\r\n\r\n", b"\r\nX-Request-Id: %b\r\n\r\n" % named)
        assert (await line.hear(whole)).endswith(b"/v1/a %b" % named + b"x" * len(named))
    assert (echo.long, echo.short) == (1, 1)
    line.end()


async def test_several_heads_are_remembered_and_the_oldest_forgotten(echo):
    """A proxy sends requests of several clients on one connection."""
    line = connection(echo)
    heads = [request(lines=[*HOST, b"X: %d" % number]) for number in range(MOST + 1)]
    for head in heads[:MOST] * 2:
        await line.hear(head)
    assert (echo.long, echo.short) == (MOST, MOST)
    await line.hear(heads[MOST])
    await line.hear(heads[0])
    assert (echo.long, echo.short) == (MOST + 2, MOST)
    line.end()


@pytest.mark.parametrize(
    "more",
    [
        [b"Connection: close"],
        [b"Connection: upgrade", b"Upgrade: h2c"],
        [b"Expect: 100-continue"],
        [b"Host: y"],
        [b"X-Not: plain"],
        [b"X: " + b"y" * LARGEST],
    ],
)
async def test_such_heads_are_not_remembered(echo, more):
    line = connection(echo)
    for _ in range(2):
        await line.hear(request(lines=[*HOST, *more]))
    assert echo.short == 0
    line.end()


async def test_what_comes_while_a_request_is_answered_waits_and_is_answered_in_order(echo, line):
    echo.go.clear()
    line.writes.clear()
    for number in range(4):
        line.protocol.data_received(request(b"/v1/%d" % number))
    line.protocol.data_received(request(b"/v1/4")[:10])
    await asyncio.sleep(0)
    assert (echo.short, line.writes) == (1, [])
    echo.go.set()
    await line.hear(request(b"/v1/4")[10:])
    bodies = [
        part.partition(b"\r\n\r\n")[2] for part in b"".join(line.writes).split(b"HTTP/1.1 ")[1:]
    ]
    assert bodies == [b"/v1/%d hi" % number for number in range(5)]


async def test_nothing_more_is_read_from_who_sends_much_meanwhile(echo, line):
    echo.go.clear()
    line.protocol.data_received(request())
    large = request(b"/v1/large", b"x" * EARLY)
    line.protocol.data_received(large)
    assert line.paused
    echo.go.set()
    await line.rest()
    assert not line.paused
    assert b"".join(line.writes).endswith(b"/v1/large " + b"x" * EARLY)


async def test_a_server_that_stops_answers_first_and_says_that_it_is_the_last(echo, line):
    echo.go.clear()
    line.protocol.data_received(request())
    line.protocol.shutdown()
    assert not line.closed
    echo.go.set()
    answer = await line.hear()
    assert b"\r\nconnection: close\r\n" in line.writes[-1], answer
    assert line.closed


async def test_a_server_that_stops_ends_a_connection_between_requests(line):
    await line.hear(request())
    line.protocol.shutdown()
    assert line.closed


async def test_who_has_left_gets_no_answer(echo, line):
    echo.go.clear()
    line.protocol.data_received(request())
    written = len(line.writes)
    line.protocol.connection_lost(None)
    echo.go.set()
    await line.rest()
    assert len(line.writes) == written


async def test_where_nobody_waits_for_the_answer_the_connection_ends(line):
    assert await line.hear(request(b"/left")) == b""
    assert line.closed


async def test_an_answer_that_ends_the_connection_ends_it(echo, line):
    echo.more = [(b"connection", b"close")]
    assert b"\r\nconnection: close\r\n" in await line.hear(request())
    assert line.closed


async def test_who_does_not_read_is_waited_for(line):
    line.protocol.pause_writing()
    written = len(line.writes)
    line.protocol.data_received(request())
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(line.writes) == written
    line.protocol.resume_writing()
    await line.rest()
    assert len(line.writes) == written + 1


async def test_a_kept_connection_ends_so_long_after_its_last_answer(line):
    await line.hear(request())
    protocol = line.protocol
    protocol.timeout_keep_alive_handler()
    assert not line.closed
    assert protocol.timeout_keep_alive_task is not None
    protocol._unset_keepalive_if_required()
    protocol._answered -= protocol.timeout_keep_alive
    protocol.timeout_keep_alive_handler()
    assert line.closed


async def test_a_request_under_way_is_no_idle_connection(echo, line):
    echo.go.clear()
    line.protocol.data_received(request())
    line.protocol.timeout_keep_alive_handler()
    assert not line.closed
    echo.go.set()
    await line.rest()


LINES = st.lists(
    st.sampled_from(
        [
            b"A: b",
            b"a: b",
            b"Connection: keep-alive",
            b"X-Not: plain",
            b"X-Request-Id: a1",
            b"x-request-id: b2",
            b"X-Request-Id: no good",
            b"X-Request-Id:",
        ]
    ),
    max_size=2,
    unique=True,
)
REQUESTS = st.builds(
    request,
    st.sampled_from([b"/v1/a", b"/v1/bb", b"/long", b"/%41", b"/v1/a?q=1"]),
    st.sampled_from([b"", b"1", b"POST /v1/a HTTP/1.1\r\n\r\n", b"x" * 300]),
    LINES.map(lambda more: [*HOST, *more]),
    start=st.sampled_from([b"POST %b HTTP/1.1"] * 5 + [b"PUT %b HTTP/1.1"]),
)


@given(
    st.lists(REQUESTS, min_size=1, max_size=8),
    st.lists(st.integers(1, 900), max_size=4),
    st.booleans(),
)
def test_whatever_comes_in_whatever_pieces_is_answered_as_by_uvicorn(requests, cuts, whole):
    """Each request by itself, or all of them as a stream that is cut anywhere."""
    if whole:
        pieces = requests
    else:
        stream = b"".join(requests)
        places = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
        pieces = [stream[a:b] for a, b in itertools.pairwise(places)]

    async def heard(*, known, wait):
        line = connection(Echo(), known=known)
        for piece in pieces:
            line.protocol.data_received(piece)
            for _ in range(10 * wait):  # its body may be under way still
                await asyncio.sleep(0)
        await line.rest()
        line.end()
        return b"".join(line.writes), line.closed

    for wait in (True, False):
        assert asyncio.run(heard(known=True, wait=wait)) == asyncio.run(
            heard(known=False, wait=wait)
        )
