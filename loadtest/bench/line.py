"""A WebSocket of the feeder: it sends what is published, or watches what arrives."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from loadtest.bench import frames, inbound
from loadtest.bench.payload import MARK

_PATIENCE = 20


class Line:
    """An open connection. `seen` is how many published messages came back on it; `moved` is set with each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._reading: asyncio.Task[None] | None = None
        self.seen = 0
        self.moved = asyncio.Event()

    @classmethod
    async def open(cls, spec: dict[str, Any]) -> Line:
        """Connect, say what `spec` says (as a load client's `open` does) and wait until it is in."""
        reader, writer = await asyncio.open_connection(spec["host"], spec["port"], limit=1 << 22)
        line = cls(reader, writer)
        try:
            async with asyncio.timeout(_PATIENCE):
                await line._join(spec)
        except BaseException:
            writer.close()
            raise
        line._reading = asyncio.create_task(line._read(b""))
        return line

    async def send(self, text: bytes) -> None:
        """Send a text message; waits while the server does not read."""
        self._writer.write(frames.client(frames.TEXT, text))
        await self._writer.drain()

    async def close(self) -> None:
        """Close the connection."""
        if self._reading is not None:
            self._reading.cancel()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _join(self, spec: dict[str, Any]) -> None:
        host = f"{spec['host']}:{spec['port']}"
        self._writer.write(frames.request(spec["paths"][0], host))
        head = await self._reader.readuntil(b"\r\n\r\n")
        if head.split(b" ")[1] != b"101":
            raise OSError(f"refused: {head.splitlines()[0].decode()}")
        for text in (spec.get("hellos") or [[]])[0]:
            await self.send(text.encode())
        mark = spec.get("joined", "").encode()
        data = b""
        while mark and mark not in data:
            more = await self._reader.read(65_536)
            if not more:
                raise OSError(f"closed by the server: {data[-200:]!r}")
            data += more

    async def _read(self, data: bytes) -> None:
        while more := await self._reader.read(262_144):
            found, data = frames.split(data + more)
            came = 0
            for opcode, content in found:
                if MARK.search(content):
                    came += 1
                elif reply := inbound.answer(opcode, content):
                    self._writer.write(reply)
            if came:
                self.seen += came
                self.moved.set()
