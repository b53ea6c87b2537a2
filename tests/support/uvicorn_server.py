"""uvicorn on a free port in a thread of its own, as the gateway runs it: uvloop, our HTTP, a WebSocket class."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from services.kernel.http.http_protocol import HttpProtocol

HEAD: dict[str, Any] = {"head_bytes": 131_072, "head_lines": 200, "head_seconds": 15.0}
"""What a HandshakeSniffer is told of requests' heads."""


@contextmanager
def serving(
    app: Any,
    *,
    ws: Any,
    loop: str = "uvloop",
    sockets: list[socket.socket] | None = None,
    **options: Any,
) -> Iterator[uvicorn.Server]:
    """A started server; its port is `server.port`. Leaving stops it gracefully and waits for its thread.

    `sockets` listen already, and what has come to them meanwhile is there when the server takes its connections.
    """
    options.setdefault("http", HttpProtocol)
    options.setdefault("timeout_graceful_shutdown", 3)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        ws=ws,
        loop=loop,
        log_config=None,
        access_log=False,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        assert time.monotonic() < deadline, "the server did not start in time"
        time.sleep(0.005)
    server.port = server.servers[0].sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "the server did not stop"
