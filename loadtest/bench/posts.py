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
    """One kept connection. Requests on it leave one after the other, each when the one before is answered."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, host: str, port: int, *, headers: str, client: str = USUAL) -> Poster:
        """Connect. `headers` are whole lines, each with its line end, sent with every request beside those of `client`."""
        reader, writer = await asyncio.open_connection(host, port)
        return cls(reader, writer, f"Host: {host}:{port}\r\n{CLIENTS[client]}{headers}")

    async def post(self, path: str, body: bytes) -> Answer:
        """POST and wait for the answer. Raises OSError, asyncio.IncompleteReadError."""
        async with self._turn:
            head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
            self._writer.write(head.encode() + body)
            return await self._answer()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def _answer(self) -> Answer:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return Answer(status, await self._reader.readexactly(int(value)))
        raise OSError(f"an answer without a length: {head[:80]!r}")
