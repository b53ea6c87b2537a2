"""The connection to Redis of what is kept there about tokens: tickets and revocations."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SECONDS = 2.0
"""For connecting, and for an answer."""

CONNECTIONS = 32
"""A process holds at most: whoever redeems many tickets at once waits, and is neither refused nor the end of the
server's other clients."""

PATIENCE = 5.0
"""Seconds that a call waits for one of them."""


def connect(url: str) -> Redis:
    """A client that answers or fails soon; each of our calls is one command that a caller can repeat.

    Raises ValueError for a URL that is none.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=PATIENCE,
        socket_timeout=SECONDS,
        socket_connect_timeout=SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis.from_pool(pool)
