"""A way to a server that can be spoilt: resets, delays, a line that hangs, one direction that is lost."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Literal, Self

_PIECES = 10
_ON_CLOSE_RESET = struct.pack("ii", 1, 0)


class SteerableProxy:
    """Listens on a free port of loopback and passes everything on to `port`; `target` is where new connections lead.

    `reset` ends all connections with RST; with `greeting` set, each new one is reset after that many bytes from its client.
    `delay`: seconds that everything takes, each way, and `answers_delay` what answers take beside; `rate`: bytes a second of one direction of a connection, 0 without
    bound. While `hung`, nothing passes and nothing is closed; `spares` tells of which connections neither this nor the delay
    holds, by what their clients have said. `swallows` is what is lost, `requests` or `answers`, and `barred` are the hosts
    from which and to which everything is. While
    `mute` is set, the answers are lost on connections on which a client has said these bytes; afterwards those are closed,
    since parts are missing.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self.target = port
        self._host = host
        self._open: dict[asyncio.Task[None], _Passage] = {}
        self._news = asyncio.Condition()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._mute: bytes | None = None
        self.greeting: int | None = None
        self.delay = 0.0
        self.answers_delay = 0.0
        self.rate = 0
        self.swallows: Literal["", "requests", "answers"] = ""
        self.spares: Callable[[bytes], bool] = spare_none
        self.barred: set[str] = set()
        self.connections = 0
        self.port = 0

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

    @property
    def hung(self) -> bool:
        """Whether nothing passes."""
        return not self._flowing.is_set()

    @hung.setter
    def hung(self, hung: bool) -> None:
        (self._flowing.clear if hung else self._flowing.set)()

    @property
    def mute(self) -> bytes | None:
        """What marks the connections whose answers are lost."""
        return self._mute

    @mute.setter
    def mute(self, said: bytes | None) -> None:
        before, self._mute = self._mute, said
        if before is not None and said is None:
            for passage in self._open.values():
                if before in passage.said:
                    passage.client.close()

    def count_saying(self, said: bytes) -> int:
        """Connections that are open now and on which a client has said these bytes."""
        return sum(said in passage.said for passage in self._open.values())

    async def connected(self, number: int) -> None:
        """Until there have been this many connections, for five seconds at most."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: self.connections >= number)

    def reset(self) -> None:
        """End all connections at once, with RST."""
        for passage in self._open.values():
            _reset(passage.client)

    def halve(self) -> None:
        """Let the far side of each connection go and tell nobody: what clients say is lost from then on."""
        for passage in self._open.values():
            passage.halved = True
            if passage.far is not None:
                passage.far.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        passage = self._open[task] = _Passage(writer)
        async with self._news:
            self.connections += 1
            self._news.notify_all()
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self.target)
        except OSError:
            del self._open[task]
            writer.close()
            return
        passage.far = far_writer
        answering = asyncio.create_task(self._answer(far_reader, passage))
        try:
            await self._pass_on(reader, far_writer, passage)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            answering.cancel()
            passage.stop()
            del self._open[task]
            far_writer.close()
            writer.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, far: asyncio.StreamWriter, passage: _Passage
    ) -> None:
        line = passage.line(self, far)
        passed = 0
        while data := await reader.read(65_536):
            passed += len(data)
            passage.listen(data)
            if self.greeting is not None and passed > self.greeting:
                _reset(passage.client)
                break
            lost = self.swallows == "requests" or passage.host in self.barred
            if not lost and not passage.halved:
                await line.write(data)

    async def _answer(self, reader: asyncio.StreamReader, passage: _Passage) -> None:
        line = passage.line(self, passage.client)
        while data := await reader.read(65_536):
            muted = self._mute is not None and self._mute in passage.said
            lost = self.swallows == "answers" or passage.host in self.barred
            if not muted and not lost:
                await line.write(data)
        if not passage.halved:
            await line.close()

    async def flow(self, said: bytes) -> None:
        """Until things pass on a connection whose client has said this."""
        if self.hung and not self.spares(said):
            await self._flowing.wait()

    def late(self, said: bytes, *, answers: bool) -> float:
        """The delay of one direction of a connection whose client has said this."""
        delay = self.delay + (self.answers_delay if answers else 0.0)
        return 0.0 if delay and self.spares(said) else delay


def spare_none(_said: bytes) -> bool:
    """No connection is spared."""
    return False


class _Passage:
    """One connection: its client and the host of that, and which commands it has sent."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.host = str((client.get_extra_info("peername") or [""])[0])
        self.far: asyncio.StreamWriter | None = None
        self.halved = False
        self.said = b""
        self._lines: list[_Line] = []

    def line(self, proxy: SteerableProxy, writer: asyncio.StreamWriter) -> _Line:
        """One of its directions."""
        self._lines.append(_Line(proxy, writer, self))
        return self._lines[-1]

    def stop(self) -> None:
        """Forget what is late: the connection is over."""
        for line in self._lines:
            line.stop()

    def listen(self, data: bytes) -> None:
        """Remember the beginning; what a connection is for shows there."""
        if len(self.said) < 1 << 20:
            self.said += data


class _Line:
    """One direction: in order, each piece after the delay, none while the proxy hangs."""

    def __init__(
        self, proxy: SteerableProxy, writer: asyncio.StreamWriter, passage: _Passage
    ) -> None:
        self._proxy = proxy
        self._writer = writer
        self._passage = passage
        self._answers = writer is passage.client
        self._late: asyncio.Queue[tuple[float, bytes] | None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        delay = self._proxy.late(self._passage.said, answers=self._answers)
        if self._late is None and not delay:
            await self._pass(data)
            return
        if self._late is None:
            self._late = asyncio.Queue()
            self._task = asyncio.create_task(self._deliver(self._late))
        self._late.put_nowait((asyncio.get_running_loop().time() + delay, data))

    async def close(self) -> None:
        if self._late is not None and self._task is not None:
            self._late.put_nowait(None)
            await self._task
        self._writer.close()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _deliver(self, late: asyncio.Queue[tuple[float, bytes] | None]) -> None:
        while (piece := await late.get()) is not None:
            due, data = piece
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._pass(data)

    async def _pass(self, data: bytes) -> None:
        """Write it as fast as may be, a tenth of a second's worth at once."""
        while (rate := self._proxy.rate) and data:
            piece, data = data[: max(1, rate // _PIECES)], data[max(1, rate // _PIECES) :]
            await self._proxy.flow(self._passage.said)
            self._writer.write(piece)
            await asyncio.sleep(1 / _PIECES)
        await self._proxy.flow(self._passage.said)
        self._writer.write(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ON_CLOSE_RESET)
    writer.transport.abort()
