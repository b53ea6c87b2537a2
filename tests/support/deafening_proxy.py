"""A way to Redis on which a gateway can be made deaf: it is answered, but hears nothing of the bus."""

from __future__ import annotations

import asyncio
from typing import Self


class DeafeningProxy:
    """Listens on a free port of loopback and passes everything on to `port`; while `deaf`, what Redis answers on a
    connection that reads the bus is lost, as on a line that has died. `readers` counts those connections.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._passing: set[asyncio.Task[None]] = set()
        self._deafened: set[asyncio.StreamWriter] = set()
        self._deaf = False
        self.readers = 0
        self.port = 0

    @property
    def deaf(self) -> bool:
        """Whether the bus is kept from whoever comes this way."""
        return self._deaf

    @deaf.setter
    def deaf(self, deaf: bool) -> None:
        self._deaf = deaf
        if not deaf:
            for writer in self._deafened:  # parts of what it was sent are missing
                writer.close()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        hearing = asyncio.create_task(self._hear(far_reader, writer))
        try:
            reads = False
            while data := await reader.read(65_536):
                if not reads and b"XREAD" in data:
                    reads = True
                    self.readers += 1
                    self._deafened.add(writer)
                far_writer.write(data)
        except OSError:
            pass
        finally:
            hearing.cancel()
            self._deafened.discard(writer)
            far_writer.close()
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not (self._deaf and writer in self._deafened):
                writer.write(data)
        writer.close()
