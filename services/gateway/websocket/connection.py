"""Taking an accepted WebSocket over: lean where the server offers it, on plain ASGI messages elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from starlette.websockets import WebSocket

from services.gateway.websocket.asgi import AsgiConnection
from services.gateway.websocket.interface import MAX_BUFFERED, Connection, Drainable, Receiver
from services.gateway.websocket.lean_connection import LeanConnection
from services.gateway.websocket.protocol import EXTENSION

__all__ = ["MAX_BUFFERED", "Connection", "Drainable", "Receiver", "serve", "take"]


def take(
    websocket: WebSocket, *, max_bytes: int, max_buffered: int = MAX_BUFFERED
) -> LeanConnection | AsgiConnection:
    """The connection of an accepted WebSocket, which is not to be used any more itself.

    `max_bytes` is the largest message that may come in, `max_buffered` the write buffer's high-water mark in bytes.
    A LeanConnection lives on by itself; an AsgiConnection only while its `run` is awaited: `serve` does what is needed.
    Raises RuntimeError before accept, and when it was taken already.
    """
    extension = websocket.scope.get("extensions", {}).get(EXTENSION)
    if extension is None:
        return AsgiConnection(websocket, max_bytes=max_bytes, max_buffered=max_buffered)
    address = websocket.client.host if websocket.client else ""
    connection = extension["take"](address=address, max_bytes=max_bytes, max_buffered=max_buffered)
    return cast("LeanConnection", connection)


async def serve(
    websocket: WebSocket,
    receiver: Callable[[Connection], Receiver],
    *,
    max_bytes: int,
    max_buffered: int = MAX_BUFFERED,
) -> None:
    """Take an accepted WebSocket over for the receiver that `receiver` makes for its connection.

    Returns at once on a lean connection, and when the connection is over on plain ASGI: call it last.
    """
    connection = take(websocket, max_bytes=max_bytes, max_buffered=max_buffered)
    connection.start(receiver(connection))
    if isinstance(connection, AsgiConnection):
        await connection.run()
