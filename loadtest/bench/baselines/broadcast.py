"""`websockets` with its own `broadcast`, on uvloop, without compression."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError

connections: set[ServerConnection] = set()


async def chat(connection: ServerConnection) -> None:
    """What one sends, all receive."""
    connections.add(connection)
    try:
        with suppress(ConnectionClosedError):
            async for message in connection:
                broadcast(connections, message)
    finally:
        connections.discard(connection)


async def main() -> None:
    """Serve until killed."""
    port = int(sys.argv[1])
    async with serve(chat, "127.0.0.1", port, compression=None, backlog=2048):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main())
