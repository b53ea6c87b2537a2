"""How much a user or an address may take of the fleet: connections, and commands and bytes over all its connections."""

from __future__ import annotations

from services.gateway.node.shares import Shares
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Bucket, Limits


class Quota:
    """Counts of this node, and shares of the fleet's rates: `commands` by user, `bytes` by user or, of anonymous clients, by
    `/` and their address. Pure: times are arguments, in seconds.

    Between two reports of its shares a user can overdraw by what its bucket here still holds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._addresses: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self.commands = Shares(rate=limits.user_rate, burst=limits.user_burst)
        self.bytes = Shares(
            rate=limits.user_bytes_rate,
            burst=limits.user_bytes_burst,
            least=limits.user_bytes_burst / 64,
        )
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

    def forget_addresses(self, now: float) -> None:
        """Drop the buckets of addresses that have asked for nothing new for long."""
        buckets = self._unheard
        for key in [key for key, bucket in buckets.items() if bucket.level(now) >= bucket.burst]:
            del buckets[key]


def too_many(limit: int) -> OpenlineError:
    """The refusal of one connection too many of a user."""
    return OpenlineError(
        Code.LIMIT_EXCEEDED, f"a user has at most {limit} connections; close others first"
    )


def _decrement(counts: dict[str, int], key: str) -> int:
    left = max(0, counts.get(key, 0) - 1)
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
    return left
