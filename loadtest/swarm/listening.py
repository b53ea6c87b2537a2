"""A reader of Server-Sent Events, as a browser's EventSource is one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlencode

from loadtest.swarm.blocks import cursor
from loadtest.swarm.chunks import Chunk, Other
from loadtest.swarm.crew import Crew
from loadtest.swarm.lasting import Lasting
from loadtest.swarm.stream import Stream


class Listening(Lasting):
    """Reads `channels` in one stream and recovers them by its cursor."""

    kind = "SSE"

    def __init__(self, crew: Crew, *, row: str, sub: str, channels: Sequence[str]) -> None:
        super().__init__(crew, row=row, sub=sub)
        self._path = "/sse?" + urlencode([("channel", channel) for channel in channels])
        self._channels = channels
        self._awaited: set[str] = set()
        self._cursor = ""

    def _connect(self) -> Stream:
        self._awaited = set(self._channels)
        host = self._crew.backend.target.host
        return Stream(host, self._path, token=self.token, cursor=self._cursor)

    def _take(self, data: bytes) -> Chunk:
        self._cursor = cursor(data) or self._cursor
        return self._crew.blocks.read(data)

    def _heard(self, other: Other) -> None:
        if other.content.startswith(b'{"type":"subscribed"'):
            event = json.loads(other.content)
            self.audit.subscribed(event)
            self._awaited.discard(event["channel"])
            if not self._awaited:
                self._joined()
        elif other.content.startswith(b'{"type":"reset"'):
            self.audit.reset(json.loads(other.content))
