"""WebSocket connections: a lean RFC 6455 endpoint for uvicorn, and its twin on plain ASGI messages."""
