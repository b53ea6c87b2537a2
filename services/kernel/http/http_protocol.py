"""HTTP as uvicorn speaks it, except that what arrives is bounded, and that refusals are problem documents."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.http import problems

HEAD_BYTES = 131_072
"""Of a request's first line and headers: as many as nginx lets through."""

HEADERS = 200

HEAD_SECONDS = 15.0
"""From the connection, or from a head's first byte, to its last."""

BODY_SECONDS = 60.0
"""From the end of the head to the body's last byte."""

PIPELINED = 16
"""Requests that may wait for the answers to those before them."""

_NOT_HTTP = OpenlineError(
    Code.BAD_REQUEST,
    "the request is not valid HTTP: its method, its address or a header cannot be read",
)
_LARGE = OpenlineError(
    Code.TOO_LARGE, f"a request has at most {HEADERS} headers, of {HEAD_BYTES:,} bytes in all"
)
_LATE = OpenlineError(
    Code.BAD_REQUEST,
    f"a request's head must come within {HEAD_SECONDS:g} s, its body within {BODY_SECONDS:g} s",
)
_MANY = OpenlineError(
    Code.RATE_LIMITED, f"wait for answers: at most {PIPELINED} requests wait on a connection"
)


class _Refused(Exception):  # noqa: N818 - it only leaves the parser
    """The request is refused for a reason that is known already."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which bounds neither the head of a request nor the time that it takes to come.

    It refuses by itself what no application sees. A timer runs only while a request has come in part.
    """

    _arriving = ""  # what is not whole yet: "head", "body" or nothing
    _head = 0  # bytes of the head so far
    _late: asyncio.TimerHandle | None = None
    _reason: tuple[OpenlineError, int] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_SECONDS, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._arriving != "body" and self._is_too_large(data):
            self._refuse(_LARGE, 431)
            return
        super().data_received(data)
        if self._arriving and self._late is None and not self.transport.is_closing():
            seconds = HEAD_SECONDS if self._arriving == "head" else BODY_SECONDS
            self._late = self.loop.call_later(seconds, self._expire)

    def handle_websocket_upgrade(self) -> None:
        """See uvicorn. The transport is another's from now on."""
        self._arriving = ""
        self._in_time()
        super().handle_websocket_upgrade()

    # What the parser tells

    def on_message_begin(self) -> None:
        """See httptools."""
        if len(self.pipeline) >= PIPELINED:
            self._reason = _MANY, 429
            raise _Refused
        super().on_message_begin()
        self._arriving = "head"

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_time()
        self._arriving, self._head = "body", 0
        if len(self.headers) > HEADERS:
            self._reason = _LARGE, 431
            raise _Refused
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._in_time()
        self._arriving = ""
        super().on_message_complete()

    # Refusals

    def send_400_response(self, msg: str) -> None:
        """See uvicorn. The connection ends: where the next request would begin is not known."""
        del msg  # says no more than the status
        self._refuse(*(self._reason or (_NOT_HTTP, 400)))

    def _is_too_large(self, data: bytes) -> bool:
        """Looked at before it is parsed: a hundred thousand headers of two bytes take the parser a while."""
        end = data.find(b"\r\n\r\n")
        size = len(data) if end < 0 else end
        self._head += size
        return self._head > HEAD_BYTES or data.count(b"\n", 0, size) > HEADERS

    def _refuse(self, error: OpenlineError, status: int) -> None:
        if self.transport.is_closing():
            return
        refusal = problems.response(error, status=status, headers={"connection": "close"})
        first = f"HTTP/1.1 {status} {problems.title(status)}\r\n".encode()
        head = [b"%b: %b\r\n" % header for header in refusal.raw_headers]
        self.transport.write(b"".join([first, *head, b"\r\n", bytes(refusal.body)]))
        self.transport.close()

    def _expire(self) -> None:
        self._late = None
        if self._arriving and not (self.cycle is not None and self.cycle.response_started):
            self._refuse(_LATE, 408)
        else:
            self.transport.close()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
