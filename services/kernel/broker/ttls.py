"""How long keys live, the same in every adapter. The Lua scripts that need one by themselves are compared by a test."""

from __future__ import annotations

KEY_TTL = 300_000
"""Milliseconds for which an idempotency key is remembered."""

HEAD_TTL = 7 * 86_400_000
"""Milliseconds that a head lives at least after a publication: when it expires, its readers get a `reset`."""

UNPUBLISHED_TTL = 3_600_000
"""Milliseconds that the head of a channel lives in which nothing was published yet (`UNPUBLISHED_TTL` in head.lua)."""


def log_ttl(history_ttl: int) -> int:
    """Milliseconds that a log lives after a publication, in Redis up to a tenth longer; `history_ttl` is in seconds."""
    return history_ttl * 1000


def head_ttl(history_ttl: int) -> int:
    """Milliseconds that a head lives after a publication: at least twice as long as its log, or a new epoch would begin
    although nothing was lost. Redis renews it with the log, a tenth of whose life may have passed then, hence the quarter more.
    """
    return max(HEAD_TTL, log_ttl(history_ttl) * 9 // 4)
