"""The two sides of a connection: what a session may call on it (`Connection`), and what it calls (`Receiver`)."""

from __future__ import annotations

from typing import Protocol

MAX_BUFFERED = 64 * 1024
"""Bytes in a connection's write buffer above which its receiver is `stalled`."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a peer has to answer a close frame, and a write buffer to drain, before the connection is cut off."""


class Receiver(Protocol):
    """What a session gives to its connection. Called on the event loop; must return soon and never block.

    An exception is logged and closes the connection with 1011. Any of these may call back into the connection.
    """

    def received_text(self, text: bytes) -> None:
        """A whole text message, in valid UTF-8."""

    def received_binary(self, data: bytes) -> None:
        """A whole binary message."""

    def received_pong(self) -> None:
        """A pong, asked for or not. Every byte counts as a sign of life; for that see `Connection.last_received`."""

    def stalled(self) -> None:
        """The write buffer rose above its high-water mark. May be called from inside `send_frame`."""

    def writable(self) -> None:
        """The write buffer drained below its low-water mark; follows every `stalled` of a living connection."""

    def shutdown(self) -> None:
        """The server stops and waits for the connection: close it with a code of your choice."""

    def closed(self, code: int, reason: str, clean: bool) -> None:  # noqa: FBT001 - one fact of three
        """The connection is over: exactly once, and nothing is called after it.

        `code` is the peer's, or ours where we closed first; 1005 = the peer gave none, 1006 = it vanished.
        `clean` = both sides sent a close frame. Never called from inside `close`.
        """


class Connection(Protocol):
    """What a session uses. No call blocks, awaits or raises; on a closed connection all of them do nothing.

    address: the client's address, after trusted proxies. last_received: loop time (seconds) of the client's last
    bytes. closing: a close frame was sent or received, or the peer is gone; nothing is sent any more.
    """

    address: str
    last_received: float
    closing: bool

    def send_frame(self, frame: bytes) -> None:
        """Send a ready-made frame of `frames`, or several joined; any number of connections may share the bytes."""

    def send_text(self, payload: bytes) -> None:
        """Send a text message; `payload` must be UTF-8."""

    def send_binary(self, payload: bytes) -> None:
        """Send a binary message."""

    def ping(self) -> None:
        """Send a protocol ping."""

    def close(self, code: int, reason: str = "", *, patience: float = CLOSE_TIMEOUT) -> None:
        """Start the close handshake behind what is buffered. A peer that does not answer in `patience` s is cut off."""

    def abort(self) -> None:
        """Drop the connection and what is buffered."""

    def buffered(self) -> int:
        """Bytes that wait to be sent."""

    def pause_reading(self) -> None:
        """Stop reading from the peer; messages that have been read already are still delivered."""

    def resume_reading(self) -> None:
        """Read on."""
