"""HTTP/1.1 requests over kept connections, with as little work as can be: what publishes in the bench."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

CLIENTS = {
    "httpx2": (
        "Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Connection: keep-alive\r\nUser-Agent: python-httpx2/2.16.2\r\n"
    ),
    "requests": (
        "User-Agent: python-requests/2.34.0\r\nAccept-Encoding: gzip, deflate\r\n"
        "Accept: */*\r\nConnection: keep-alive\r\n"
    ),
    "Node's fetch": (
        "connection: keep-alive\r\naccept: */*\r\naccept-language: *\r\n"
        "sec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n"
    ),
    "curl": "User-Agent: curl/7.88.1\r\nAccept: */*\r\n",
}
"""The header lines that a client sends with every request: a server reads them, so a bench must send them."""

USUAL = "httpx2"
"""The client of our documentation."""


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class Poster:
    """One kept connection. Requests on it leave one after the other, each when the one before is answered.

    It connects with the first request: a server ends a connection that has asked for nothing in a while, and readers
    take their time to gather. `headers` are whole lines, each with its line end, sent with every request beside those of
    `client`.
    """

    def __init__(self, host: str, port: int, *, headers: str, client: str = USUAL) -> None:
        self._address = host, port
        self._head = f"Host: {host}:{port}\r\n{CLIENTS[client]}{headers}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def post(self, path: str, body: bytes) -> Answer:
        """POST and wait for the answer. Raises OSError, asyncio.IncompleteReadError."""
        async with self._turn:
            self._streams = self._streams or await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            return await self._answer(reader)

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return Answer(status, await reader.readexactly(int(value)))
        raise OSError(f"an answer without a length: {head[:80]!r}")
