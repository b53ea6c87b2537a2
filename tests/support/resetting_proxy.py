"""A way to a server whose connections can be reset, as a firewall or a restarted router does."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Self

_ON_CLOSE_RESET = struct.pack("ii", 1, 0)


class ResettingProxy:
    """Listens on a free port of loopback and passes everything on to `port`.

    `reset` ends all connections with RST. With `greeting` set, each new one is reset after so many bytes from its client.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.greeting: int | None = None
        self.connections = 0
        self.port = 0
        self._news = asyncio.Condition()

    async def connected(self, number: int) -> None:
        """Until there have been so many connections, for five seconds at most."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: self.connections >= number)

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.reset()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def reset(self) -> None:
        """End all connections at once."""
        for writer in self._open.values():
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        async with self._news:
            self.connections += 1
            self._news.notify_all()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        answering = asyncio.create_task(_pass_on(far_reader, writer))
        try:
            passed = 0
            while data := await reader.read(65_536):
                passed += len(data)
                if self.greeting is not None and passed > self.greeting:
                    _reset(writer)
                    break
                far_writer.write(data)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            answering.cancel()
            del self._open[task]
            far_writer.close()
            writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ON_CLOSE_RESET)
    writer.transport.abort()
