"""HTTP as uvicorn speaks it, but requests that have the lane are answered without an ASGI cycle around each."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import unquote

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from services.kernel.http.http_protocol import HttpProtocol
from services.publisher.lane import Answer, Call, Lane
from services.publisher.routes.reading import BareRequest

_TARGET = re.compile(rb"(/v1/[A-Za-z0-9_.:@|=+%/-]+)(?:\?([A-Za-z0-9_.:@|=+%&-]*))?")
_CLOSE = (b"connection", b"close")


class _Nobody:
    """In the place of the event that wakes who waits for a body: an answer begins when it is whole."""

    def set(self) -> None: ...


_NOBODY = _Nobody()


class Passage(BareRequest):
    """A request on the lane, in the place where uvicorn keeps its cycle; what uvicorn asks of one is here."""

    __slots__ = (
        "call",
        "disconnected",
        "gathered",
        "keep_alive",
        "message_event",
        "more_body",
        "name",
        "response_complete",
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.call: Call
        self.name = ""
        self.gathered = b""
        self.more_body = True
        self.message_event = _NOBODY
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    async def body(self) -> bytes:
        """See BareRequest."""
        return self.gathered


class LaneProtocol(HttpProtocol):
    """Asks the lane about each request that comes when the one before has been answered; the rest goes to the app."""

    cycle: Any

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        lane: Lane,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._lane = lane

    def on_headers_complete(self) -> None:
        """See uvicorn."""
        passage = self._passage()
        if passage is None:
            super().on_headers_complete()
        else:
            self.cycle = passage

    def on_body(self, body: bytes) -> None:
        """See uvicorn. What has the lane is small enough to be read whole."""
        if isinstance(self.cycle, Passage):
            self.cycle.gathered += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """See uvicorn."""
        super().on_message_complete()
        if isinstance(self.cycle, Passage):
            task = self.loop.create_task(self._serve(self.cycle))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _passage(self) -> Passage | None:
        if self.cycle is not None and not self.cycle.response_complete:
            return None  # pipelined: uvicorn keeps the order
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return None
        target = _TARGET.fullmatch(self.url)
        if target is None or self.root_path:
            return None
        scope: Any = self.scope
        scope["method"] = "POST"
        scope["path"] = unquote(target[1].decode("ascii"))
        scope["query_string"] = target[2] or b""
        passage = Passage(scope)
        found = self._lane.find(passage)
        if found is None:
            return None
        passage.call, passage.name = found
        return passage

    async def _serve(self, passage: Passage) -> None:
        try:
            answer = await self._lane.answer(passage.call, passage.name, passage)
            if self.flow.write_paused:
                await self.flow.drain()
        except asyncio.CancelledError:  # the server gives up what has not ended in time
            self.transport.close()
            raise
        if passage.disconnected or self.transport.is_closing():
            return
        stays = passage.keep_alive and _CLOSE not in answer.headers
        self.transport.write(self._encoded(answer, passage))
        passage.response_complete = True
        if not stays:
            self.transport.close()
        self.on_response_complete()

    def _encoded(self, answer: Answer, passage: Passage) -> bytes:
        """Head and body in one: on a socket each write is a system call."""
        headers = [*self.server_state.default_headers, *answer.headers]
        if not passage.keep_alive and _CLOSE not in headers:
            headers.append(_CLOSE)
        lines = [b"%b: %b\r\n" % header for header in headers]
        return b"".join((STATUS_LINE[answer.status], *lines, b"\r\n", answer.body))
