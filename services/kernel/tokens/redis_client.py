"""The connection to Redis of what is kept there about tokens: tickets and revocations."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

SECONDS = 2.0
"""For connecting, and for an answer."""


def connect(url: str) -> Redis:
    """A client that answers or fails soon; each of our calls is one command that a caller can repeat.

    Raises ValueError for a URL that is none.
    """
    return Redis.from_url(
        url,
        socket_timeout=SECONDS,
        socket_connect_timeout=SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
