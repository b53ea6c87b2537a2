"""How an application lets a client in: at once from a handshake's bytes, or from an ASGI route that had to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from services.gateway.websocket.handshake import Request
from services.gateway.websocket.interface import Connection, Receiver

EXTENSION = "openline.websocket.accept"
"""The extension in an ASGI scope that `Acceptance.complete` uses."""


class Acceptance(NamedTuple):
    """A client is let in. `max_bytes` is the largest message it may send.

    `receiver` is called once, when the connection is there and only then. It returns None when it has closed it.
    `greets`: the receiver writes soon, so the handshake's answer may wait a moment and leave with that.
    `any_frame_rate`: the server's frame rate does not bind this client.
    """

    receiver: Callable[[Connection], Receiver | None]
    max_bytes: int
    subprotocol: str | None = None
    greets: bool = False
    any_frame_rate: bool = False

    def complete(self, scope: Mapping[str, Any]) -> None:
        """Answer the handshake of an ASGI `websocket` scope; the route returns then, and the connection lives on.

        Does nothing for a client that has gone. Raises RuntimeError when the handshake was answered already or the
        server is another one, ValueError for a subprotocol that the client did not offer.
        """
        extension = scope.get("extensions", {}).get(EXTENSION)
        if extension is None:
            raise RuntimeError("serve this route with uvicorn and ws=WebSocketProtocol")
        extension["accept"](self)


FastAccept = Callable[[Request], Acceptance | None]
"""Asked with a valid handshake; must not block. None leaves it to the ASGI application, which can wait and refuse.

It runs in a context of its own, as the task of an ASGI application does.
"""
