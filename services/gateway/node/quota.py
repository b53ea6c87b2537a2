"""How much a user or an address may take of the fleet: connections, and commands over all its connections."""

from __future__ import annotations

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Bucket, Limits


class Quota:
    """Counts of this node, and each user's share of the fleet's rate. Pure: times are arguments, in seconds.

    The fleet's bucket is in the store; what was used here is reported a few times a second (`report`), and what others
    have used comes back (`learn`). Between two reports a user can overdraw by what its bucket here still holds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._addresses: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._buckets: dict[str, Bucket] = {}
        self._used: dict[str, float] = {}
        self._unheard: dict[str, Bucket] = {}

    def admit(self, address: str) -> None:
        """Count a connection of an address. Raises `limit_exceeded`."""
        count = self._addresses.get(address, 0)
        limit = self._limits.connections_per_address
        if self._limits.rates and count >= limit:
            raise OpenlineError(
                Code.LIMIT_EXCEEDED, f"an address has at most {limit} connections; close others"
            )
        self._addresses[address] = count + 1

    def release(self, address: str) -> None:
        """A connection of an address has ended."""
        _decrement(self._addresses, address)

    def join(self, user: str) -> int:
        """Count a connection of a user; how many it has here now. Raises `limit_exceeded`."""
        count = self._users.get(user, 0)
        limit = self._limits.connections_per_user
        if self._limits.rates and count >= limit:
            raise too_many(limit)
        self._users[user] = count + 1
        return count + 1

    def part(self, user: str) -> int:
        """A connection of a user has ended; how many it has here now."""
        return _decrement(self._users, user)

    def charge(self, user: str, now: float) -> float:
        """Count a command of a user; 0, or the seconds to wait."""
        bucket = self._buckets.get(user)
        if bucket is None:
            bucket = self._buckets[user] = Bucket(
                self._limits.user_rate, self._limits.user_burst, now
            )
        wait = bucket.spend(now)
        if not wait:
            self._used[user] = self._used.get(user, 0.0) + 1
        return wait

    def seek(self, address: str, now: float) -> None:
        """Count a channel that an address asks for and nobody here listens to. Raises `rate_limited`.

        The store keeps each name for an hour that a stranger thinks of. At once an address may have as many as its
        connections can hold, so that whoever comes back with all of them does not wait.
        """
        limits = self._limits
        if not limits.rates:
            return
        bucket = self._unheard.get(address)
        if bucket is None:
            bucket = self._unheard[address] = Bucket(limits.unheard_rate, limits.unheard_burst, now)
        if wait := bucket.spend(now):
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"too many new channels from this address; wait {wait:.2f} s and ask for at most "
                f"{limits.unheard_rate:g} a second",
                retry_after=wait,
            )

    def report(self) -> dict[str, float]:
        """What was used since the last report."""
        used, self._used = self._used, {}
        return used

    def learn(self, levels: dict[str, float], now: float) -> None:
        """What the fleet has left for users."""
        for user, level in levels.items():
            bucket = self._buckets.get(user)
            if bucket is not None:
                # What was used here since the report is not in the answer.
                bucket.lower(now, level - self._used.get(user, 0.0))

    def forget_full(self, now: float) -> None:
        """Drop the buckets of users that have used nothing for long."""
        _forget_full(self._buckets, now)

    def forget_addresses(self, now: float) -> None:
        """Drop the buckets of addresses that have asked for nothing new for long."""
        _forget_full(self._unheard, now)


def too_many(limit: int) -> OpenlineError:
    """The refusal of one connection too many of a user."""
    return OpenlineError(
        Code.LIMIT_EXCEEDED, f"a user has at most {limit} connections; close others first"
    )


def _forget_full(buckets: dict[str, Bucket], now: float) -> None:
    for key in [key for key, bucket in buckets.items() if bucket.level(now) >= bucket.burst]:
        del buckets[key]


def _decrement(counts: dict[str, int], key: str) -> int:
    left = max(0, counts.get(key, 0) - 1)
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
    return left
