"""How much callers may ask for whose tokens set a limit: each has a token bucket; the number of buckets is bounded."""

from __future__ import annotations

from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Bucket, Buckets, Limits

MAX_CALLERS = 10_000
"""Whoever issues tokens may name many callers; the one unseen longest is forgotten."""


class Allowance:
    """Counts calls, the messages of a call that brings many, and their bytes, by subject.

    A token without a rate makes as many calls as it likes; bytes have the same rate for all.
    """

    def __init__(self, limits: Limits | None = None, *, most: int = MAX_CALLERS) -> None:
        self._limits = limits or Limits()
        self._buckets: Buckets[tuple[str, float]] = Buckets(most)
        self._bytes: Buckets[str] = Buckets(most)

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

    def spend_bytes(self, claims: Claims, now: float, size: int) -> None:
        """Count bytes that are to be stored. Raises `rate_limited` while earlier ones are not paid for.

        What passes may be more than is left, a broadcast for instance: the next call has to wait for it.
        """
        limits = self._limits
        if not limits.rates:
            return
        rate, burst = limits.client_bytes_rate, limits.client_bytes_burst
        bucket = self._bytes.find(claims.sub, now, rate=rate, burst=burst)
        if wait := bucket.overdraw(now, size):
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"this client may publish {rate} bytes a second; a broadcast counts once for each channel",
                retry_after=wait,
            )

    def _bucket(self, claims: Claims, now: float) -> Bucket | None:
        if claims.rate is None or not self._limits.rates:
            return None
        key = (claims.sub, claims.rate)
        return self._buckets.find(key, now, rate=claims.rate, burst=max(1, claims.rate))
