"""One connection to an ASGI application as our HTTP protocols speak it, without a socket or a server."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState


class HttpLine(asyncio.Transport):
    """One connection; what is written is kept, write by write."""

    def __init__(self, app, http):
        super().__init__()
        self.writes, self.closed, self.paused = [], False, False
        config = uvicorn.Config(
            app, ws="none", lifespan="off", log_config=None, server_header=False
        )
        config.load()
        self.server = ServerState()
        self.protocol: Any = http(config, self.server, {})
        self.protocol.connection_made(self)

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 80)}.get(name, default)

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def write(self, data):
        self.writes.append(bytes(data))

    async def hear(self, *pieces):
        """What is written in answer to pieces that come one after another."""
        before = len(self.writes)
        for piece in pieces:
            self.protocol.data_received(piece)
        await self.rest()
        return b"".join(self.writes[before:])

    async def rest(self):
        # No event tells that all is answered, and pauses would cost property tests minutes.
        while self.server.tasks or getattr(self.protocol, "_answering", False):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # what was held for the body leaves

    def end(self):
        self.protocol._in_time()
        self.protocol._unset_keepalive_if_required()
