"""HTTP as uvicorn speaks it, except that what arrives is bounded, and that refusals are problem documents."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.http import problems
from services.kernel.http.joined_writes import JoinedWrites

_USUAL = Limits()

WAITED_FOR = 65_536
"""Bytes of a body at most for which a refusal waits: as much as uvicorn reads of one that nobody asks for."""

_NOT_HTTP = OpenlineError(
    Code.BAD_REQUEST,
    "the request is not valid HTTP: its method, its address or a header cannot be read",
)


class _Refused(Exception):  # noqa: N818 - it only leaves the parser
    """The request is refused for a reason that is known already."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which bounds neither the head of a request nor the time that it takes to come.

    It refuses by itself what no application sees. A timer runs only while a request has come in part. `limits`: its `head_`,
    `body_seconds` and `pipelined_requests` hold; `config`, `server_state` and `app_state` are uvicorn's.
    """

    _arriving = ""  # what is not whole yet: "head", "body" or nothing
    _head = 0  # bytes of the head so far
    _late: asyncio.TimerHandle | None = None
    _reason: tuple[OpenlineError, int] | None = None

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits = _USUAL,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self._joined = JoinedWrites(transport, self.loop)
        self.transport = self._joined  # type: ignore[assignment]
        self._late = self.loop.call_later(self._limits.head_seconds, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._in_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._arriving != "body" and self._is_too_large(data):
            self._refuse(*_too_large(self._limits))
            return
        super().data_received(data)
        if self._arriving and self._late is None and not self.transport.is_closing():
            limits = self._limits
            seconds = limits.head_seconds if self._arriving == "head" else limits.body_seconds
            self._late = self.loop.call_later(seconds, self._expire)
            if self._arriving == "body" and self._is_waited_for():
                self._joined.body_due = True

    def _is_waited_for(self) -> bool:
        """Whether a refusal waits for the body: one that is small, of the only request under way, and on its way already."""
        length = dict(self.headers).get(b"content-length", b"")
        small = length.isdigit() and len(length) < 6 and int(length) <= WAITED_FOR  # noqa: PLR2004 - digits of it
        return small and not self.expect_100_continue and not self.pipeline

    def handle_websocket_upgrade(self) -> None:
        """See uvicorn. The transport is another's from now on."""
        self._arriving = ""
        self._in_time()
        self.transport = self._joined.whole
        super().handle_websocket_upgrade()

    # What the parser tells

    def on_message_begin(self) -> None:
        """See httptools."""
        if len(self.pipeline) >= self._limits.pipelined_requests:
            self._reason = _too_many(self._limits)
            raise _Refused
        super().on_message_begin()
        self._arriving = "head"

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_time()
        self._arriving, self._head = "body", 0
        if len(self.headers) > self._limits.head_lines:
            self._reason = _too_large(self._limits)
            raise _Refused
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._in_time()
        self._arriving = ""
        super().on_message_complete()
        if self._joined.body_due:
            self._joined.release()

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
        limits = self._limits
        return self._head > limits.head_bytes or data.count(b"\n", 0, size) > limits.head_lines

    def _refuse(self, error: OpenlineError, status: int) -> None:
        self._joined.release()
        if self.transport.is_closing():
            return
        refusal = problems.response(error, status=status, headers={"connection": "close"})
        first = f"HTTP/1.1 {status} {problems.title(status)}\r\n".encode()
        head = [b"%b: %b\r\n" % header for header in refusal.raw_headers]
        self.transport.write(b"".join([first, *head, b"\r\n", bytes(refusal.body)]))
        self.transport.close()

    def _expire(self) -> None:
        self._late = None
        self._joined.release()
        if self._arriving and not (self.cycle is not None and self.cycle.response_started):
            self._refuse(*_late(self._limits))
        else:
            self.transport.close()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _too_large(limits: Limits) -> tuple[OpenlineError, int]:
    most = f"{limits.head_lines} headers, of {limits.head_bytes:,} bytes in all"
    return OpenlineError(Code.TOO_LARGE, f"a request has at most {most}"), 431


def _late(limits: Limits) -> tuple[OpenlineError, int]:
    within = f"within {limits.head_seconds:g} s, its body within {limits.body_seconds:g} s"
    return OpenlineError(Code.BAD_REQUEST, f"a request's head must come {within}"), 408


def _too_many(limits: Limits) -> tuple[OpenlineError, int]:
    most = f"at most {limits.pipelined_requests} requests wait on a connection"
    return OpenlineError(Code.RATE_LIMITED, f"wait for answers: {most}"), 429
