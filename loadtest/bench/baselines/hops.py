"""The floor under small audiences: the same hops as Openline's, each with as little Python as can be.

`hops PORT publisher URL` takes POST /channels/NAME/messages, and a script writes the message to the channel's stream and to a
bus. `hops PORT gateway URL` reads the bus, sixteen reads ahead, and writes to the WebSockets of /ws?channel=NAME. No token, check,
limit, metric or recovery: what is left is event loop, hiredis, Redis and system calls.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import hiredis
import msgspec
import uvloop

from loadtest.bench.baselines.floor import Floor, framed

SCRIPT = """
redis.call('XADD', KEYS[1], 'MAXLEN', '~', 100, '*', 'd', ARGV[1])
return redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '0-*', 'c', KEYS[1], 'd', ARGV[1])
"""
BUS = b"bus"
AHEAD = 16
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")
_CHANNEL = re.compile(rb"channel=([^& ]+)")


class Store(asyncio.Protocol):
    """A connection to Redis: whoever has waited longest gets the next reply."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[Callable[[Any], None]] = deque()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def ask(self, done: Callable[[Any], None], *commands: tuple[Any, ...]) -> None:
        """Send commands in one write; `done` gets each reply."""
        self._waiting.extend([done] * len(commands))
        self._transport.write(b"".join(hiredis.pack_command(command) for command in commands))

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._waiting.popleft()(reply)


class Publisher(asyncio.Protocol):
    """A kept connection that sends one request after the other."""

    def __init__(self, store: Store, script: bytes) -> None:
        self._store = store
        self._script = script
        self._buffer = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        name = head.split(b"/", 3)[2]
        event = {"channel": name.decode(), "data": msgspec.json.decode(body)["data"]}
        keys = (b"2", name, BUS)
        self._store.ask(self._answer, (b"EVALSHA", self._script, *keys, msgspec.json.encode(event)))

    def _answer(self, entry: bytes) -> None:
        body = b'{"id":"%s"}' % entry
        head = (
            b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        )
        self._transport.write(head % len(body) + body)


class Reader(Floor):
    """A WebSocket that listens to the channels of its query."""

    audience: defaultdict[bytes, list[asyncio.WriteTransport]] = defaultdict(list)  # noqa: RUF012 - shared on purpose

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if not self._upgraded:
            for name in _CHANNEL.findall(data.split(b"\r\n", 1)[0]):
                self.audience[name].append(self._transport)
        super().data_received(data)


class Bus:
    """Reads that wait at Redis, one for each of the next entries."""

    def __init__(self, store: Store, newest: int) -> None:
        self._store = store
        self._newest = self._asked = newest
        self._ask()

    def _ask(self) -> None:
        read = ("XREAD", "COUNT", "100", "BLOCK", "0", "STREAMS", BUS)
        places = range(self._asked, self._asked + AHEAD)
        self._store.ask(self._take, *((*read, f"0-{place}") for place in places))
        self._asked += AHEAD

    def _take(self, reply: Any) -> None:
        for name, (_, channel, _, message) in reply[0][1]:
            number = int(name[2:])
            if number > self._newest:  # the reads before this one may have brought it
                self._newest = number
                frame = framed(message)
                for transport in Reader.audience.get(channel, ()):
                    transport.write(frame)
        if self._newest >= self._asked:
            self._asked = self._newest
            self._ask()


async def main() -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    port, role, url = int(sys.argv[1]), sys.argv[2], urlsplit(sys.argv[3])
    _, store = await loop.create_connection(Store, url.hostname or "", url.port or 6379)
    answer: asyncio.Future[Any] = loop.create_future()
    factory: Callable[[], asyncio.Protocol]
    if role == "publisher":
        store.ask(answer.set_result, ("SCRIPT", "LOAD", SCRIPT))
        script = await answer
        factory = lambda: Publisher(store, script)  # noqa: E731
    else:
        store.ask(answer.set_result, ("XREVRANGE", BUS, "+", "-", "COUNT", "1"))
        newest = await answer
        Bus(store, int(newest[0][0][2:]) if newest else 0)
        factory = Reader
    server = await loop.create_server(factory, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
