"""A shortcut past ASGI: an application may answer handshakes that it can judge at once, without a task of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from services.gateway.websocket.handshake import Request
from services.gateway.websocket.interface import Connection, Receiver


class Welcome(NamedTuple):
    """How a client is let in. `receiver` is asked for once and started; `max_bytes` is the largest message.

    `greets`: the receiver will say something soon, so that the handshake's answer may wait a moment for it.
    """

    receiver: Callable[[Connection], Receiver]
    max_bytes: int
    subprotocol: str | None = None
    greets: bool = False


Front = Callable[[Request, str], Welcome | None]
"""Asked with a valid handshake and the client's address after trusted proxies; must not block or raise.

None: the ASGI application is to answer, which alone can wait and refuse. What it is asked and what it makes run in a
context of their own, as a task of ASGI would.
"""
