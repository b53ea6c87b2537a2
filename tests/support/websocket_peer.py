"""A WebSocket client on wsproto and a plain socket: it can be correct, and it can send any bytes whatever."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Self

from websockets.utils import apply_mask
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame, masked; any opcode and reserved bits."""
    size = len(payload)
    short, form = (size, 0) if size < 126 else (126, 2) if size < 65536 else (127, 8)
    head = bytes([fin << 7 | rsv << 4 | opcode, 0x80 | short])
    mask = b"\x01\x02\x03\x04"
    return head + (size.to_bytes(form, "big") if form else b"") + mask + apply_mask(payload, mask)


class Peer:
    """Connects at once; a context manager. Every wait is bounded by `timeout` seconds."""

    def __init__(
        self,
        port: int,
        path: str = "/ws/echo",
        *,
        headers: Iterable[tuple[str, str]] = (),
        subprotocols: Iterable[str] = (),
        timeout: float = 30,
        receive_buffer: int | None = None,
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._ended = False
        request = Request(
            host="127.0.0.1",
            target=path,
            subprotocols=list(subprotocols),
            extra_headers=[(name.encode(), value.encode()) for name, value in headers],
        )
        self.send(request)
        self.answer = self.event(AcceptConnection, RejectConnection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def accepted(self) -> bool:
        return isinstance(self.answer, AcceptConnection)

    @property
    def status(self) -> int:
        """The HTTP status of a handshake that was refused."""
        assert isinstance(self.answer, RejectConnection)
        return self.answer.status_code

    def body(self) -> bytes:
        """The body of a handshake that was refused."""
        body = b""
        while True:
            event = self.event(RejectData)
            assert isinstance(event, RejectData)
            body += event.data
            if event.body_finished:
                return body

    def send(self, event: Event) -> None:
        self.socket.sendall(self._ws.send(event))

    def raw(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.socket.sendall(chunk)

    def text(self, text: str) -> None:
        self.send(Message(data=text))

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.send(CloseConnection(code=code, reason=reason))

    def event(self, *kinds: type[Event]) -> Event:
        """The next event of these kinds; others are passed over. Raises EOFError when the server hung up."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if not kinds or isinstance(event, kinds):
                    return event
            if self._ended:
                raise EOFError
            data = self.socket.recv(1 << 20)
            self._ended = not data
            if data:
                self._ws.receive_data(data)
                self._events += self._ws.events()

    def message(self) -> str | bytes:
        """The next message, whole. Raises EOFError when the server hung up or closed."""
        parts: list[str] | list[bytes] = []
        while True:
            event = self.event(TextMessage, BytesMessage, CloseConnection)
            if isinstance(event, CloseConnection):
                raise EOFError(event.code)  # noqa: TRY004 - it is the end, not a wrong type
            assert isinstance(event, TextMessage | BytesMessage)
            parts.append(event.data)  # type: ignore[arg-type]
            if event.message_finished:
                return type(parts[0])().join(parts)  # type: ignore[arg-type]

    def closing(self) -> tuple[int, str]:
        """The server's close frame (answered where that is due), then the end of its stream."""
        event = self.event(CloseConnection)
        assert isinstance(event, CloseConnection)
        if self._ws.state.name == "REMOTE_CLOSING":
            with contextlib.suppress(OSError):
                self.send(event.response())
        self.ended()
        return event.code, event.reason or ""

    def ended(self) -> None:
        """Wait until the server has ended its stream."""
        while not self._ended:
            try:
                self._ended = not self.socket.recv(1 << 20)
            except ConnectionResetError:
                self._ended = True
