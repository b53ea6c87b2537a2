"""A publish endpoint as one writes it: FastAPI, a pydantic model, redis-py's XADD; on uvicorn as it comes."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis

app = FastAPI()
redis = Redis.from_url(sys.argv[2] if len(sys.argv) > 2 else "redis://127.0.0.1:6379/0")  # noqa: PLR2004


class Message(BaseModel):
    """What is published."""

    data: Any


class Stored(BaseModel):
    """Where it went."""

    channel: str
    id: str


@app.post("/channels/{channel}/messages", status_code=201)
async def publish(channel: str, message: Message) -> Stored:
    """Append to the channel's stream."""
    fields = {"data": json.dumps(message.data)}
    stored: bytes = await redis.xadd(f"log:{channel}", fields, maxlen=1000)  # type: ignore[arg-type, assignment]
    return Stored(channel=channel, id=stored.decode())


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
