"""HTTP for requests that come again and again: what a program sends with each of them is parsed once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from services.kernel.http.http_protocol import HttpProtocol

LARGEST = 4096
"""Bytes of a head that a connection remembers at most."""

MOST = 4
"""Heads that a connection remembers: a proxy sends requests of several clients on it."""

EARLY = 65_536
"""Bytes that may come while a request is being answered before nothing more is read, and of a body that is waited for."""

HELD = 0.25
"""Seconds that a body is waited for; then its request takes the long way."""

_LINE = re.compile(rb"POST (/[A-Za-z0-9_.:@|=+/-]+) HTTP/1\.1(?=\r\n)")
_LENGTH = re.compile(rb"\r\ncontent-length: (0|[1-9][0-9]{0,8})(?=\r\n)", re.IGNORECASE)
_ID = re.compile(rb"\r\nx-request-id: ([A-Za-z0-9._-]{1,64})(?=\r\n)", re.IGNORECASE)
_CLOSE = (b"connection", b"close")
_LONG_WAY = frozenset({b"expect", b"upgrade", b"transfer-encoding"})


class Answer(Struct, frozen=True, gc=False):
    """An HTTP answer. Names of headers are in small letters."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Plain(Protocol):
    """Who answers plain requests: POSTs with a body of known length."""

    def prepare(self, headers: list[tuple[bytes, bytes]]) -> Any:
        """What all requests with these headers have in common; None where they take the long way.

        Of `content-length` and `x-request-id` only the names count: their values differ.
        """

    def answer(
        self,
        prepared: Any,
        path: str,
        body: bytes,
        *,
        request_id: str,
        client: tuple[str, int] | None,
        done: Callable[[Answer | None], None],
    ) -> bool:
        """Answer a request: `done` gets the answer, once, now or later, or None where nobody waits for it.

        `request_id` is the one it came with, or empty. False: the request takes the long way. Raises nothing.
        """


class _Request(Struct, frozen=True, gc=False):
    """A plain request. `head` is without its first line and what may differ; `missing` bytes of the body have not come yet."""

    path: str
    head: bytes
    body: bytes
    request_id: str
    missing: int


class KnownHeads(HttpProtocol):
    """uvicorn's protocol, past which requests go that differ from one before in path, length, id and body alone.

    That is a POST to a plain path, whose lines of headers are, but for the digits of `content-length` and a sane `x-request-id`,
    byte for byte those of one on this connection that uvicorn has parsed, and whose body came with them or
    within `HELD`, by itself: HTTP libraries send it apart. It is answered with one write, without a parser, a scope and the
    events of ASGI. All else, and whatever `plain` leaves, takes the long way. One such request is answered at a time; what comes
    meanwhile waits.
    """

    _early = b""  # what came while a request was being answered
    _held = b""  # a request whose body is still to come
    _held_since = 0.0
    _holding: asyncio.TimerHandle | None = None
    _answering = False
    _ending = False
    _answered = 0.0
    _usual: list[tuple[bytes, bytes]] | None = None
    _usual_lines = b""

    def __init__(self, *given: Any, plain: Plain, **named: Any) -> None:
        """`given` and `named` are those of HttpProtocol."""
        super().__init__(*given, **named)
        self._plain = plain
        self._known: dict[bytes, Any] = {}
        """By heads what is prepared for them."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._held = b""
        if self._holding is not None:
            self._holding.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._answering:
            self._early += data
            if len(self._early) > EARLY:
                self.flow.pause_reading()
            return
        begun = not self._held
        data, self._held = self._held + data, b""
        cycle = self.cycle
        # Whether the next byte begins a request, and nothing is under way.
        between = not self._arriving and (cycle is None or cycle.response_complete)
        request = _apart(data) if between else None
        prepared = None if request is None else self._known.get(request.head)
        if prepared is None or request is None:
            self._take_long_way(data, request)
        elif request.missing:
            self._hold(data, begun=begun)
        else:
            self._answering = True
            if not self._plain.answer(
                prepared,
                request.path,
                request.body,
                request_id=request.request_id,
                client=self.client,
                done=self._finish,
            ):
                self._answering = False
                self._take_long_way(data)

    def _take_long_way(self, data: bytes, request: _Request | None = None) -> None:
        """Have uvicorn parse what has come, and remember the head of a plain request."""
        super().data_received(data)
        if request is not None and len(request.head) <= LARGEST and not self.transport.is_closing():
            self._learn(request.head)

    def _hold(self, data: bytes, *, begun: bool) -> None:
        """Wait for the rest of a body, from when its request has `begun`. One timer lasts for many requests."""
        self._held = data
        if begun:
            self._held_since = self.loop.time()
        if self._holding is None:
            self._holding = self.loop.call_later(HELD, self._let_go)

    def _let_go(self) -> None:
        self._holding = None
        left = self._held_since + HELD - self.loop.time()
        if self._held and left > 0:
            self._holding = self.loop.call_later(left, self._let_go)
        elif self._held:
            held, self._held = self._held, b""
            self._take_long_way(held)

    def _learn(self, head: bytes) -> None:
        """Remember a head that was just parsed, if it is one of a plain request."""
        named = dict(self.headers)
        if (
            len(named) == len(self.headers)
            and not named.keys() & _LONG_WAY
            and named.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        ):
            prepared = self._plain.prepare(list(self.headers))
            if prepared is not None:
                if len(self._known) >= MOST:
                    del self._known[next(iter(self._known))]
                self._known[head] = prepared

    def _finish(self, answer: Answer | None) -> None:
        if self.flow.write_paused:
            # No further request is taken until the client has read the answers to those before.
            task = self.loop.create_task(self._drained(answer))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return
        self._answering = False
        self.server_state.total_requests += 1
        if self._joined.whole.is_closing():
            return
        if answer is not None:
            self._write(answer)
        if answer is None or self._ending or _CLOSE in answer.headers:
            self.transport.close()
            return
        self._answered = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()
        if self._early:
            early, self._early = self._early, b""
            self.flow.resume_reading()
            self.data_received(early)

    async def _drained(self, answer: Answer | None) -> None:
        await self.flow.drain()
        self._finish(answer)

    def _write(self, answer: Answer) -> None:
        usual = self.server_state.default_headers  # another list each second
        if usual is not self._usual:
            self._usual, self._usual_lines = usual, _lines(usual)
        own = _lines([*answer.headers, _CLOSE] if self._ending else answer.headers)
        head = STATUS_LINE[answer.status] + self._usual_lines + own
        self._joined.whole.write(b"%b\r\n%b" % (head, answer.body))

    def timeout_keep_alive_handler(self) -> None:
        """See uvicorn. One timer lasts for many requests: it looks when the last one was answered."""
        self.timeout_keep_alive_task = None
        left = self._answered + self.timeout_keep_alive - self.loop.time()
        if self._answering or self._held:
            left = self.timeout_keep_alive
        if left > 0:
            handler = self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(left, handler)
        else:
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """See uvicorn: what is under way is answered first."""
        if self._answering:
            self._ending = True
            return
        if self._held:
            held, self._held = self._held, b""
            self._take_long_way(held)
        super().shutdown()


_AS_LINE = b"%b: %b\r\n".__mod__


def _lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(map(_AS_LINE, headers))


def _apart(data: bytes) -> _Request | None:
    """A plain request whose head is there whole, and that is there alone."""
    line = _LINE.match(data)
    if line is None:
        return None
    begin = line.end()
    end = data.find(b"\r\n\r\n", begin) + 4
    length = _LENGTH.search(data, begin, end - 2)
    if length is None:
        return None
    missing = end + int(length[1]) - len(data)
    if missing < 0 or (missing and int(length[1]) > EARLY):
        return None
    first, last = length.span(1)
    named = _ID.search(data, begin, end - 2)
    if named is None:
        head, request_id = data[begin:first] + data[last:end], ""
    else:
        request_id = named[1].decode()
        (first, last), (then, until) = sorted(((first, last), named.span(1)))
        head = data[begin:first] + data[last:then] + data[until:end]
    return _Request(line[1].decode(), head, data[end:], request_id, missing)
