"""The tutorials' loop: FastAPI, a list of connections, `await` of each in turn; on uvicorn as it comes.

`/ws` takes anyone, `/ws/token?token=` a JWT, checked by PyJWT at each handshake.
"""

from __future__ import annotations

import sys

import jwt
import uvicorn
from fastapi import FastAPI, Query, WebSocket, WebSocketDisconnect, WebSocketException, status

SECRET = "a secret of the tutorial, 32 bytes or more"  # noqa: S105 - protects nothing
AUDIENCE = "tutorial"


class ConnectionManager:
    """Who is connected."""

    def __init__(self) -> None:
        self.active: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Let somebody in."""
        await websocket.accept()
        self.active.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Somebody has left."""
        self.active.remove(websocket)

    async def broadcast(self, message: str) -> None:
        """Tell everyone."""
        for connection in self.active:
            await connection.send_text(message)


app = FastAPI()
manager = ConnectionManager()


@app.websocket("/ws")
async def chat(websocket: WebSocket) -> None:
    """What one sends, all receive."""
    await manager.connect(websocket)
    try:
        while True:
            await manager.broadcast(await websocket.receive_text())
    except WebSocketDisconnect:
        manager.disconnect(websocket)


@app.websocket("/ws/token")
async def chat_with_token(websocket: WebSocket, token: str = Query()) -> None:
    """The same for those who hold a token."""
    try:
        jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE)
    except jwt.InvalidTokenError:
        raise WebSocketException(status.WS_1008_POLICY_VIOLATION) from None
    await chat(websocket)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
