"""Attempts an address may make: each network address has a token bucket; the number of buckets is bounded."""

from __future__ import annotations

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Buckets
from services.kernel.http import addresses

MAX_ADDRESSES = 50_000
"""An attacker with many addresses must not fill the memory; the address unseen longest is forgotten."""


class Throttle:
    """`per_minute` attempts an address, all of them at once if it likes. An IPv6 network of /64 counts as one."""

    def __init__(self, per_minute: int, *, on: bool = True, most: int = MAX_ADDRESSES) -> None:
        self._per_minute = per_minute
        self._on = on
        self._buckets: Buckets[str] = Buckets(most)

    def attempt(self, address: str, now: float) -> None:
        """Count one. Raises `rate_limited` with the seconds to wait."""
        if not self._on:
            return
        bucket = self._buckets.find(
            addresses.network(address), now, rate=self._per_minute / 60, burst=self._per_minute
        )
        wait = bucket.spend(now)
        if wait:
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"an address may try {self._per_minute} times a minute to log in or register",
                retry_after=wait,
            )
