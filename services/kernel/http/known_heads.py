"""HTTP for requests that come again and again: what a program sends with each of them is parsed once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from services.kernel.http.http_protocol import HttpProtocol

LARGEST = 4096
"""Bytes of a head that a connection remembers at most."""

EARLY = 65_536
"""Bytes that may come while a request is being answered before nothing more is read."""

_LINE = re.compile(rb"POST (/[A-Za-z0-9_.:@|=+/-]+) HTTP/1\.1(?=\r\n)")
_LENGTH = re.compile(rb"\r\ncontent-length: (0|[1-9][0-9]{0,8})(?=\r\n)", re.IGNORECASE)
_CLOSE = (b"connection", b"close")
_LONG_WAY = frozenset({b"expect", b"upgrade", b"transfer-encoding"})


class Answer(NamedTuple):
    """An HTTP answer. Names of headers are in small letters."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Plain(Protocol):
    """Who answers plain requests: POSTs of a body that came with its head, in one piece."""

    def prepare(self, headers: list[tuple[bytes, bytes]]) -> Any:
        """What all requests with these headers have in common; None where they take the long way."""

    def answer(
        self,
        prepared: Any,
        path: str,
        body: bytes,
        *,
        client: tuple[str, int] | None,
        done: Callable[[Answer | None], None],
    ) -> bool:
        """Answer a request: `done` gets the answer, once, now or later, or None where nobody waits for it.

        False: the request takes the long way. Raises nothing.
        """


class KnownHeads(HttpProtocol):
    """uvicorn's protocol, past which requests go that differ from the one before in path, length and body alone.

    That is a POST to a plain path, whose lines of headers are, but for the digits of `content-length`, byte for byte those
    of the last one on this connection that uvicorn has parsed, and whose whole body came with them. It is answered with
    one write, without a parser, a scope and the events of ASGI. All else, and whatever `plain` leaves, takes the long way. One such
    request is answered at a time; what comes meanwhile waits.
    """

    _known = b""  # the last head, without those digits
    _prepared: Any = None
    _early = b""  # what came while a request was being answered
    _answering = False
    _ending = False
    _answered = 0.0
    _usual: list[tuple[bytes, bytes]] | None = None
    _usual_lines = b""

    def __init__(self, *given: Any, plain: Plain, **named: Any) -> None:
        """`given` and `named` are those of HttpProtocol."""
        super().__init__(*given, **named)
        self._plain = plain

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._answering:
            self._early += data
            if len(self._early) > EARLY:
                self.flow.pause_reading()
            return
        cycle = self.cycle
        # Whether the next byte begins a request, and nothing is under way.
        between = not self._arriving and (cycle is None or cycle.response_complete)
        path, head, body = _apart(data) if between else _NOT_PLAIN
        if head and head == self._known:
            self._answering = True
            if self._plain.answer(
                self._prepared, path, body, client=self.client, done=self._finish
            ):
                return
            self._answering = False
        super().data_received(data)
        if head and head != self._known and len(head) <= LARGEST:
            self._learn(head)

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
                self._known, self._prepared = head, prepared

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
        if self._answering:
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
        else:
            super().shutdown()


_AS_LINE = b"%b: %b\r\n".__mod__
_NOT_PLAIN = ("", b"", b"")


def _lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"".join(map(_AS_LINE, headers))


def _apart(data: bytes) -> tuple[str, bytes, bytes]:
    """Path, head and body of a plain request that is there whole, and alone; `_NOT_PLAIN` for any other.

    The head is without the line of the request and the digits of its length.
    """
    line = _LINE.match(data)
    if line is None:
        return _NOT_PLAIN
    end = data.find(b"\r\n\r\n", line.end()) + 4
    length = _LENGTH.search(data, line.end(), end - 2)
    if length is None or len(data) != end + int(length[1]):
        return _NOT_PLAIN
    head = data[line.end() : length.start(1)] + data[length.end(1) : end]
    return line[1].decode(), head, data[end:]
