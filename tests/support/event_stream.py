"""A reader of `/sse` that says what it expects: blocks as they come, comments included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2

PATIENCE = 20.0
"""Seconds; fewer than the 25 after which a comment would bring what a buffer on the way holds back."""


class Block(NamedTuple):
    """One event block: its type (empty for a comment or a hint alone), its data, and its other fields."""

    event: str
    data: Any
    id: str
    fields: dict[str, str]


class EventStream:
    """An open response. `ended` is set when its body is over."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.blocks: list[Block] = []
        self.ended = asyncio.Event()
        self._taken = 0
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def open(
        cls, http: httpx2.AsyncClient, url: str, **options: Any
    ) -> AsyncIterator[EventStream]:
        """Demand a stream."""
        async with http.stream("GET", url, **options) as response:
            if response.status_code != httpx2.codes.OK:
                raise AssertionError(f"{response.status_code}: {await response.aread()!r}")
            stream = cls(response)
            try:
                yield stream
            finally:
                stream._reader.cancel()
                await asyncio.gather(stream._reader, return_exceptions=True)

    async def next(self, event: str | None = None, *, patience: float = PATIENCE) -> Block:
        """The next block of this type after the one returned last."""
        async with asyncio.timeout(patience):
            while True:
                while self._taken < len(self.blocks):
                    block = self.blocks[self._taken]
                    self._taken += 1
                    if event is None or block.event == event:
                        return block
                assert not self.ended.is_set(), f"the stream ended after {self.blocks[-3:]}"
                self._news.clear()
                await self._news.wait()

    async def _read(self) -> None:
        lines: list[str] = []
        try:
            async for line in self.response.aiter_lines():
                if line:
                    lines.append(line)
                elif lines:
                    self.blocks.append(_block(lines))
                    lines = []
                    self._news.set()
        finally:
            self.ended.set()
            self._news.set()


def _block(lines: list[str]) -> Block:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")
    data = json.loads(fields["data"]) if "data" in fields else None
    return Block(fields.get("event", ""), data, fields.get("id", ""), fields)
