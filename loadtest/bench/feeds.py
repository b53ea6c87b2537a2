"""The ways in which messages get into a server: a WebSocket, HTTP, or Openline's broker itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from loadtest.bench.line import Line
from loadtest.bench.posts import USUAL, Poster
from services.kernel.broker.drafts import compose
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.codes import OpenlineError
from services.kernel.ops import namespaces

_OK = (200, 201, 202)


class Item(NamedTuple):
    """A message for the channel of that number."""

    channel: int
    body: bytes


class FeedError(Exception):
    """The server did not take a message."""


class Feed(Protocol):
    """Somewhere to publish. `watch` is a connection on which published messages come back, if there is one."""

    watch: Line | None

    async def send(self, items: Sequence[Item]) -> None:
        """Publish in order; returns when the server has taken them. Raises FeedError."""

    async def close(self) -> None:
        """Give the connections back."""


class SocketFeed:
    """A client that publishes over its own WebSocket. `wrap` holds the message in place of `{}`."""

    def __init__(self, line: Line, wrap: str) -> None:
        self.watch: Line | None = line
        self._line = line
        self._before, _, self._after = (part.encode() for part in wrap.partition("{}"))

    @classmethod
    async def open(cls, spec: dict[str, Any]) -> SocketFeed:
        """Connect as a subscriber would."""
        return cls(await Line.open(spec), spec.get("wrap", "{}"))

    async def send(self, items: Sequence[Item]) -> None:
        """See Feed; the server has taken what its socket has taken."""
        for item in items:
            await self._line.send(self._before + item.body + self._after)

    async def close(self) -> None:
        """See Feed."""
        await self._line.close()


class BrokerFeed:
    """Openline's broker in this process, so that no publisher is measured: `redis`, `namespaces`, `channels`."""

    def __init__(self, broker: RedisBroker, spec: dict[str, Any], watch: Line | None) -> None:
        self.watch = watch
        self._broker = broker
        self._channels: list[str] = spec["channels"]
        self._namespace = namespaces.load(Path(spec["namespaces"])).of(self._channels[0])

    @classmethod
    async def open(cls, spec: dict[str, Any]) -> BrokerFeed:
        """Connect to Redis, and to the gateway when `watch` says where to watch."""
        broker = RedisBroker(spec["redis"])
        await broker.start()
        return cls(broker, spec, await Line.open(spec["watch"]) if "watch" in spec else None)

    async def send(self, items: Sequence[Item]) -> None:
        """See Feed; one round trip for all."""
        drafts = [
            compose(
                self._namespace,
                self._channels[item.channel],
                data=item.body,
                ts_ms=time.time_ns() // 1_000_000,
                http=True,
                subject="bench",
            )
            for item in items
        ]
        for outcome in await self._broker.publish(drafts):
            if isinstance(outcome, OpenlineError):
                raise FeedError(str(outcome))

    async def close(self) -> None:
        """See Feed."""
        if self.watch is not None:
            await self.watch.close()
        await self._broker.close()


class PostFeed:
    """HTTP: `paths` or `wraps` one a channel (one `path` or `wrap` for all) for single messages, or `batch` (a path) with `channels`
    for many in one.

    Its requests have the headers that `client` sends. Messages of a channel use the same of `connections` kept connections, so that their order is kept.
    """

    watch: Line | None = None

    def __init__(self, spec: dict[str, Any]) -> None:
        self._posters = [
            Poster(
                spec["host"],
                spec["port"],
                headers=spec["headers"],
                client=spec.get("client", USUAL),
            )
            for _ in range(spec.get("connections", 1))
        ]
        self._paths: list[str] = spec.get("paths", [])
        wraps: list[str] = spec.get("wraps") or [spec.get("wrap", "{}")]
        self._wraps = [tuple(part.encode() for part in wrap.partition("{}")[::2]) for wrap in wraps]
        self._batch: str = spec.get("batch", "")
        self._channels: list[str] = spec.get("channels", [])

    async def send(self, items: Sequence[Item]) -> None:
        """See Feed."""
        if self._batch:
            await self._send_batch(items)
            return
        ways: dict[int, list[Item]] = {}
        for item in items:
            ways.setdefault(item.channel % len(self._posters), []).append(item)
        async with asyncio.TaskGroup() as group:
            for way, mine in ways.items():
                group.create_task(self._send_some(self._posters[way], mine))

    async def close(self) -> None:
        """See Feed."""
        for poster in self._posters:
            poster.close()

    async def _send_some(self, poster: Poster, items: Sequence[Item]) -> None:
        for item in items:
            before, after = self._wraps[item.channel % len(self._wraps)]
            path = self._paths[item.channel % len(self._paths)]
            answer = await poster.post(path, before + item.body + after)
            if answer.status not in _OK:
                raise FeedError(f"{answer.status} {answer.body[:200]!r}")

    async def _send_batch(self, items: Sequence[Item]) -> None:
        messages = b",".join(
            b'{"channel":"%s","data":%s}' % (self._channels[item.channel].encode(), item.body)
            for item in items
        )
        answer = await self._posters[0].post(self._batch, b'{"messages":[%s]}' % messages)
        if answer.status not in _OK or answer.body.count(b'"status":201') != len(items):
            raise FeedError(f"{answer.status} {answer.body[:200]!r}")


async def open_feed(spec: dict[str, Any]) -> Feed:
    """The feed that `spec` describes; its `kind` is socket, broker or post."""
    if spec["kind"] == "post":
        return PostFeed(spec)
    kinds: dict[str, type[SocketFeed | BrokerFeed]] = {
        "socket": SocketFeed,
        "broker": BrokerFeed,
    }
    return await kinds[spec["kind"]].open(spec)
