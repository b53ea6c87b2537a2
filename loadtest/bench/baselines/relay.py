"""The tutorials' app for several processes: FastAPI, pydantic, redis-py's pub/sub between; on uvicorn as it comes.

A POST is published to Redis, and whoever holds a WebSocket of that channel sends it on. It keeps no history and asks nobody
for a token.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Query, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from redis.asyncio import Redis

redis = Redis.from_url(sys.argv[2] if len(sys.argv) > 2 else "redis://127.0.0.1:6379/0")  # noqa: PLR2004


class Message(BaseModel):
    """What is published."""

    data: Any


class Event(BaseModel):
    """What readers get."""

    channel: str
    data: Any


class Published(BaseModel):
    """How many processes got it."""

    channel: str
    processes: int


class ConnectionManager:
    """Who listens to what."""

    def __init__(self) -> None:
        self.active: dict[str, list[WebSocket]] = defaultdict(list)

    async def connect(self, websocket: WebSocket, channels: list[str]) -> None:
        """Let somebody in."""
        await websocket.accept()
        for channel in channels:
            self.active[channel].append(websocket)

    def disconnect(self, websocket: WebSocket, channels: list[str]) -> None:
        """Somebody has left."""
        for channel in channels:
            self.active[channel].remove(websocket)

    async def broadcast(self, channel: str, text: str) -> None:
        """Tell everyone who listens."""
        for connection in self.active.get(channel, ()):
            await connection.send_text(text)


manager = ConnectionManager()


async def listen() -> None:
    """Send on what any process publishes."""
    async with redis.pubsub() as pubsub:
        await pubsub.psubscribe("*")
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                await manager.broadcast(message["channel"].decode(), message["data"].decode())


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Listen while the app runs."""
    listening = asyncio.create_task(listen())
    yield
    listening.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/channels/{channel}/messages", status_code=201)
async def publish(channel: str, message: Message) -> Published:
    """Tell every process."""
    text = Event(channel=channel, data=message.data).model_dump_json()
    return Published(channel=channel, processes=await redis.publish(channel, text))


@app.websocket("/ws")
async def subscribe(websocket: WebSocket, channel: list[str] = Query()) -> None:  # noqa: B008 - FastAPI's way
    """Listen until the client goes."""
    await manager.connect(websocket, channel)
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect:
        manager.disconnect(websocket, channel)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
