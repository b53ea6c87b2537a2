"""One connection of the load client, and the opening of many: handshake, first messages, joined."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

from loadtest.bench import frames, inbound
from loadtest.bench.payload import now

_LINGER_NONE = struct.pack("ii", 1, 0)
_LINGER_USUAL = struct.pack("ii", 0, 0)
_BIND_WITHOUT_PORT = 24
"""IP_BIND_ADDRESS_NO_PORT (ip(7)): the port is chosen at connect, so that each source address has all of them."""

_A_SOURCE = 10_000
"""Connections from one source address; it has 28,000 ports."""

_SAMPLE = 8
"""One connection in so many has its latencies counted."""


class Planned(NamedTuple):
    """A connection to be opened."""

    number: int
    path: str
    hello: tuple[str, ...]


class Opening:
    """The command `open`: `host`, `port`, `count`; lists that are walked through in circles: `paths`, and `hellos` (the
    text messages that each sends after the handshake); `joined`, the text that says that it is in, and how many `marks`
    of it; `concurrency`; `stalled`: so many of the first never read once they are in; one in
    `sample` is timed.
    """

    def __init__(self, command: dict[str, Any]) -> None:
        self.host: str = command["host"]
        self.port: int = command["port"]
        self.mark: bytes = command.get("joined", "").encode()
        self.marks: int = command.get("marks", 1 if self.mark else 0)
        self.stalled: int = command.get("stalled", 0)
        self.sample: int = command.get("sample", _SAMPLE)
        self.joined = 0
        self._paths: list[str] = command["paths"]
        self._hellos: list[list[str]] = command.get("hellos") or [[]]
        self._count: int = command["count"]
        self._concurrency: int = command.get("concurrency", 64)
        self._started = 0
        self._failed: Counter[str] = Counter()
        self._began = now()

    @property
    def done(self) -> bool:
        """Whether each has joined or failed."""
        return self.joined + self._failed.total() == self._count

    def take(self) -> Planned | None:
        """The next one to start, None when enough are under way."""
        under_way = self._started - self.joined - self._failed.total()
        if self._started == self._count or under_way >= self._concurrency:
            return None
        number = self._started
        self._started += 1
        hello = self._hellos[number % len(self._hellos)]
        return Planned(number, self._paths[number % len(self._paths)], tuple(hello))

    def fail(self, why: str) -> None:
        """One of them could not be opened."""
        self._failed[why] += 1

    def result(self) -> dict[str, Any]:
        """The command's answer."""
        return {
            "joined": self.joined,
            "failed": dict(self._failed.most_common(5)),
            "seconds": (now() - self._began) / 1e6,
        }


class Peer:
    """A connection. `expected` is the number that should come next, `rest` a frame that is not whole."""

    __slots__ = (
        "_hello",
        "_marks",
        "_request",
        "_upgraded",
        "asked",
        "expected",
        "fd",
        "mark",
        "rest",
        "sampled",
        "socket",
        "stalled",
    )

    def __init__(self, sock: socket.socket, planned: Planned, opening: Opening) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.asked = False
        self.expected: int | None = None
        self.rest = b""
        self.mark = opening.mark
        self.sampled = planned.number % opening.sample == 0
        self.stalled = planned.number < opening.stalled
        self._request = frames.request(planned.path, f"{opening.host}:{opening.port}")
        self._hello = planned.hello
        self._marks = opening.marks
        self._upgraded = False

    def close_with_end(self) -> None:
        """When it is closed the server reads its end (FIN), not that it was reset. Its port is lost for a minute."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_USUAL)

    @property
    def joined(self) -> bool:
        """Whether it is in."""
        return self._upgraded and self._marks <= 0

    def ask(self) -> None:
        """Send the handshake."""
        self.asked = True
        self.socket.send(self._request)
        self._request = b""

    def join(self, data: bytes) -> bytes:
        """Go on with what came; what is left once it has joined. Raises FrameError, OSError."""
        self.rest += data
        if not self._upgraded and not self._upgrade():
            return b""
        while not self.joined:
            one, rest = _first(self.rest)
            if one is None:
                return b""
            self.rest = rest
            opcode, content = one
            if opcode == frames.CLOSE:
                raise OSError(f"closed: {content[2:].decode('utf-8', 'replace')}")
            self._marks -= self.mark in content
            reply = inbound.answer(opcode, content)
            if reply is not None:
                self.socket.send(reply)
        left, self.rest = self.rest, b""
        return left

    def _upgrade(self) -> bool:
        head, end, rest = self.rest.partition(b"\r\n\r\n")
        if not end:
            return False
        if head.split(b" ")[1:2] != [b"101"]:
            raise OSError(f"refused: {head.splitlines()[0].decode()}")
        self.rest = rest
        self._upgraded = True
        for text in self._hello:
            self.socket.send(frames.client(frames.TEXT, text.encode()))
        return True


def _first(data: bytes) -> tuple[tuple[int, bytes] | None, bytes]:
    """The first whole frame, and all bytes behind it."""
    found, _ = frames.split(data)
    if not found:
        return None, data
    size = len(found[0][1])
    head = 2 if size < 126 else 4 if size < 1 << 16 else 10  # noqa: PLR2004 - RFC 6455 section 5.2
    return found[0], data[head + size :]


def connect(planned: Planned, opening: Opening) -> Peer:
    """Begin to connect. Raises OSError."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        # Closing resets: else each of ten thousand ports would be lost for a minute.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if planned.number < opening.stalled:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if opening.host.startswith("127."):
            sock.setsockopt(socket.IPPROTO_IP, _BIND_WITHOUT_PORT, 1)
            sock.bind((f"127.0.0.{2 + planned.number // _A_SOURCE}", 0))
        with suppress(BlockingIOError):
            sock.connect((opening.host, opening.port))
    except OSError:
        sock.close()
        raise
    return Peer(sock, planned, opening)
