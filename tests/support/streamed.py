"""A client of the native protocol over HTTP: events on one response, each command a request of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec

from services.kernel.protocol import events
from tests.support.wire import Closed, WireClient

CUT_OFF = 1006


class StreamedClient(WireClient):
    """Expects as a WireClient does. `base` is where commands go, through the front door or straight to a gateway."""

    def __init__(self, http: httpx2.AsyncClient, response: httpx2.Response, *, base: str) -> None:
        self.http = http
        self.response = response
        self.base = base
        self.binary = False
        self.seen: list[Any] = []
        self.comments = 0
        self.closed: tuple[int, str] | None = None
        self._taken: set[int] = set()
        self._first = 0
        self._news = asyncio.Event()
        self._ids = 0
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def begin(
        cls,
        http: httpx2.AsyncClient,
        base: str,
        commands: list[Any],
        *,
        path: str = "/sse",
        commands_to: str | None = None,
        **options: Any,
    ) -> AsyncIterator[StreamedClient]:
        """Demand a stream of `base`; further commands go to `commands_to`, or to the same."""
        body = {"commands": commands}
        async with http.stream("POST", base + path, json=body, **options) as response:
            if response.status_code != httpx2.codes.OK:
                raise AssertionError(f"{response.status_code}: {await response.aread()!r}")
            client = cls(http, response, base=commands_to or base)
            try:
                yield client
            finally:
                client._reader.cancel()
                await asyncio.gather(client._reader, return_exceptions=True)

    @property
    def connected(self) -> Any:
        """The first event."""
        return self.seen[0]

    async def post(self, *commands: Any, **changes: Any) -> httpx2.Response:
        """Send commands; `changes` of the body, or another `connection` or `base`."""
        base = changes.pop("base", self.base)
        connection = changes.pop("connection", self.connected["connection"])
        body = {"secret": self.connected["secret"], "commands": list(commands), **changes}
        return await self.http.post(f"{base}/sse/{connection}", json=body)

    async def send(self, command: Any) -> None:
        """Send a command, and demand that it is taken."""
        answer = await self.post(command)
        assert (answer.status_code, answer.json()) == (202, {}), answer.text

    async def close(self, code: int = 1000) -> None:
        """End the response: the server sees no code."""
        del code
        await self.vanish()

    async def vanish(self) -> None:
        """See close."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.response.aclose()

    async def _read(self) -> None:
        end = (CUT_OFF, "")
        try:
            async for line in self.response.aiter_lines():
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    assert end[0] == CUT_OFF, "something came behind closing"
                    name, _, text = line.partition(": ")
                    assert name == "data", line
                    event = json.loads(text)
                    if event["type"] == "closing":
                        end = (event["code"], event["reason"])
                        msgspec.convert(event, events.Closing)
                    else:
                        msgspec.convert(event, events.Event)
                    self.seen.append(event)
                    self._news.set()
        except httpx2.HTTPError:
            pass
        finally:
            self.closed = end
            self._news.set()


__all__ = ["Closed", "StreamedClient"]
