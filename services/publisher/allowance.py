"""How much callers may ask for whose tokens set a limit: each has a token bucket; the number of buckets is bounded."""

from __future__ import annotations

from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Bucket, Buckets

MAX_CALLERS = 10_000
"""Whoever issues tokens may name many callers; the one unseen longest is forgotten."""


class Allowance:
    """Counts calls, and the messages of a call that brings many, by subject. A token without a rate is not limited."""

    def __init__(self, *, on: bool = True, most: int = MAX_CALLERS) -> None:
        self._on = on
        self._buckets: Buckets[tuple[str, float]] = Buckets(most)

    def spend(self, claims: Claims, now: float) -> None:
        """Count a call. Raises `rate_limited` with the seconds to wait."""
        bucket = self._bucket(claims, now)
        wait = bucket.spend(now) if bucket else 0
        if wait:
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"this client may make {claims.rate:g} calls a second; each message of a batch counts as one",
                retry_after=wait,
            )

    def owe(self, claims: Claims, now: float, messages: int) -> None:
        """Count more messages of a call that was let through: the next has to wait for them."""
        bucket = self._bucket(claims, now)
        if bucket:
            bucket.lower(now, bucket.level(now) - messages)

    def _bucket(self, claims: Claims, now: float) -> Bucket | None:
        if claims.rate is None or not self._on:
            return None
        key = (claims.sub, claims.rate)
        return self._buckets.find(key, now, rate=claims.rate, burst=max(1, claims.rate))
