"""A WebSocket server for uvicorn: `http=` and `ws=` classes that end in a connection without a task, queue or timer.

Knows nothing of Openline; README.md says what it relies on. Use these eight names only.
"""

from __future__ import annotations

from services.gateway.websocket import frames
from services.gateway.websocket.fast_accept import Acceptance
from services.gateway.websocket.handshake import Request
from services.gateway.websocket.interface import CLOSE_TIMEOUT, Connection, Receiver
from services.gateway.websocket.protocol import WebSocketProtocol
from services.gateway.websocket.sniff import HandshakeSniffer

__all__ = [
    "CLOSE_TIMEOUT",
    "Acceptance",
    "Connection",
    "HandshakeSniffer",
    "Receiver",
    "Request",
    "WebSocketProtocol",
    "frames",
]
