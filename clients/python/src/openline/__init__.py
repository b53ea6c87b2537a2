"""Messages from an Openline server, and to it: a client for asyncio, publishers, tokens, helpers for FastAPI and Django."""
