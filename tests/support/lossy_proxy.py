"""A proxy that loses messages: what a server would look like to its clients that has silent gaps."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import Self

from loadtest.bench import frames


class LossyProxy:
    """Listens on a free port of loopback and passes everything on to `port`, but for every `nth` message (an event of
    type `message`) of each WebSocket, none with 0. `lost` counts them. `tls` is what clients must speak.
    """

    def __init__(self, port: int, *, nth: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._nth = nth
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self.lost = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(60)
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, far_writer))
                group.create_task(self._lose(far_reader, writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            far_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():  # not with TLS
            writer.write_eof()

    async def _lose(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(65_536)
        if data.startswith(b"HTTP/1.1 101"):
            while b"\r\n\r\n" not in data:
                data += await reader.read(65_536)
            head, _, rest = data.partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
            await self._lose_frames(rest, reader, writer)
            return
        writer.write(data)
        await self._pass_on(reader, writer)

    async def _lose_frames(
        self, rest: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        seen = 0
        while more := await reader.read(65_536):
            data = rest + more
            found, rest = frames.split(data)
            for opcode, content in found:
                if content.startswith(b'{"type":"message"'):
                    seen += 1
                    if self._nth and seen % self._nth == 0:
                        self.lost += 1
                        continue
                writer.write(_server_frame(opcode, content))
            await writer.drain()


def _server_frame(opcode: int, content: bytes) -> bytes:
    size = len(content)
    if size < 126:
        return bytes([0x80 | opcode, size]) + content
    assert size < 1 << 16
    return bytes([0x80 | opcode, 126]) + size.to_bytes(2, "big") + content
