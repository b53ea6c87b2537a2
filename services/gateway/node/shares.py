"""Shares of the fleet's rates: each name's bucket here, and what it has taken since the fleet was told."""

from __future__ import annotations

from services.kernel.domain.limits import Bucket

FORGET_SECONDS = 1.0
"""Between two looks for buckets that are full again."""


class Shares:
    """Token buckets of `rate` and `burst` by name. Pure: times are arguments, in seconds.

    The fleet's buckets are in the store: what was used here is reported a few times a second (`report`), and what others have
    used comes back (`learn`). What is less than `least` waits for more, so that small use costs the store nothing.
    A gateway hands out at once its part of the burst (`divide`), or `floor` where that is more; what the fleet has left
    beyond it comes with the answers.
    """

    def __init__(self, *, rate: float, burst: float, least: float = 0, floor: float = 0) -> None:
        self.rate = rate
        self.burst = burst
        self._least = least
        self._floor = min(floor, burst)
        self._part = burst
        self._buckets: dict[str, Bucket] = {}
        self._used: dict[str, float] = {}
        self._forgetting_at = 0.0

    def divide(self, gateways: int) -> None:
        """Set the number of the fleet's gateways, this one among them. Holds for buckets that begin or settle from now on."""
        self._part = max(self._floor, self.burst / max(1, gateways))

    def spend(self, name: str, now: float, amount: float = 1) -> float:
        """Count what a name takes; 0, or the seconds to wait, and nothing was counted."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self.rate, self._part, now)
        wait = bucket.spend(now, amount)
        if not wait:
            self._used[name] = self._used.get(name, 0.0) + amount
        return wait

    def report(self) -> dict[str, float]:
        """What was used since the last report."""
        used = {name: amount for name, amount in self._used.items() if amount >= self._least}
        self._used = {name: used for name, used in self._used.items() if used < self._least}
        return used

    def learn(self, levels: dict[str, float], now: float) -> None:
        """What the fleet has left for names."""
        for name, level in levels.items():
            bucket = self._buckets.get(name)
            if bucket is not None:
                bucket.burst = self._part
                # What was used here since the report is not in the answer.
                bucket.settle(now, level - self._used.get(name, 0.0))

    def forget_full(self, now: float) -> None:
        """Drop the buckets of those that have used nothing for long; looks through all of them once a second at most."""
        if now < self._forgetting_at:
            return
        self._forgetting_at = now + FORGET_SECONDS
        for name in [n for n, bucket in self._buckets.items() if bucket.level(now) >= bucket.burst]:
            del self._buckets[name]
            self._used.pop(name, None)

    def __len__(self) -> int:
        return len(self._buckets)
