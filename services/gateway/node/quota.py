"""How much a user or an address may take of the fleet: connections, and commands and bytes over all its connections."""

from __future__ import annotations

from services.gateway.node.crowds import Crowds, Newcomer
from services.gateway.node.excess import Excess
from services.gateway.node.shares import Shares
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Buckets, Limits
from services.kernel.http.addresses import network

MAX_ADDRESSES = 50_000
"""Addresses whose made-up names are counted: an attacker with many addresses must not fill the memory."""


RELAYED_BYTES = 1024
"""What a request for another gateway counts at least: it is read by all of them."""


class Quota:
    """Counts of this node, and shares of the fleet's rates: `commands` by user, `bytes` by user or, of anonymous clients, by
    `/` and their address, of requests for other gateways by `//` and the address. Pure: times are arguments, in seconds.

    Between two reports of its shares a user can overdraw by what its buckets on the gateways together hold.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._addresses: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self.crowds = Crowds(limits.connections_per_address)
        # A connection may have its own burst at once, and a message must pass that a frame may hold.
        self.commands = Shares(
            rate=limits.user_rate, burst=limits.user_burst, floor=limits.command_burst
        )
        self.bytes = Shares(
            rate=limits.user_bytes_rate,
            burst=limits.user_bytes_burst,
            least=limits.user_bytes_burst / 64,
            floor=limits.frame_bytes,
        )
        self._unheard: Buckets[str] = Buckets(MAX_ADDRESSES)
        self._relays: Buckets[str] = Buckets(MAX_ADDRESSES)
        self._full_addresses = Excess()
        self._full_users = Excess()

    def admit(self, address: str, now: float) -> None:
        """Count a connection of an address. Raises `rate_limited`, or `limit_exceeded` once that lasts; see Excess."""
        address = counted_as(address)
        count = self._addresses.get(address, 0)
        limit = self._limits.connections_per_address
        if self._limits.rates and count >= limit:
            raise self.too_many_of_address(address, now)
        if not self.crowds.has(count + 1):
            self.address_fits(address)
        self._addresses[address] = count + 1

    def too_many_of_address(self, address: str, now: float) -> OpenlineError:
        """The refusal of one connection too many of an address, here or over the fleet."""
        limit = self._limits.connections_per_address
        return self._full_addresses.refusal(
            address, f"an address has at most {limit} connections", now
        )

    def address_fits(self, address: str) -> None:
        """An address' connections over the fleet are within the limit."""
        self._full_addresses.end(address)

    def came(self, address: str, newcomer: Newcomer) -> None:
        """A connection that was admitted has begun: it is closed when the fleet has too many of its address."""
        address = counted_as(address)
        self.crowds.came(address, self._addresses.get(address, 0), newcomer)

    def release(self, address: str) -> None:
        """A connection of an address has ended."""
        address = counted_as(address)
        self.crowds.left(address, _decrement(self._addresses, address))

    def recount(self) -> None:
        """The fleet has forgotten what it was told: tell it of all addresses again."""
        self.crowds.recount(self._addresses)

    def divide(self, gateways: int) -> None:
        """Set the number of the fleet's gateways, this one among them."""
        self.commands.divide(gateways)
        self.bytes.divide(gateways)

    def join(self, user: str, now: float) -> int:
        """Count a connection of a user; how many it has here now. Raises as `admit` does."""
        count = self._users.get(user, 0)
        limit = self._limits.connections_per_user
        if self._limits.rates and count >= limit:
            raise self.too_many(user, now)
        self._users[user] = count + 1
        return count + 1

    def too_many(self, user: str, now: float) -> OpenlineError:
        """The refusal of one connection too many of a user, here or over the fleet."""
        limit = self._limits.connections_per_user
        return self._full_users.refusal(user, f"a user has at most {limit} connections", now)

    def fits(self, user: str) -> None:
        """A user's connections over the fleet are within the limit."""
        self._full_users.end(user)

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
        bucket = self._unheard.find(
            counted_as(address), now, rate=limits.unheard_rate, burst=limits.unheard_burst
        )
        if wait := bucket.spend(now):
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"too many new channels from this address; wait {wait:.2f} s and ask for at most "
                f"{limits.unheard_rate:g} a second",
                retry_after=wait,
            )

    def relay(self, address: str, connection: str, now: float, *, size: int) -> None:
        """Count a request for a stream on another gateway. Raises `rate_limited`.

        Each goes to all gateways, and whose the connection is is not known here. So it counts twice: as a command of the
        connection that it names, and with its `size` in bytes, at least RELAYED_BYTES, for the address that sends it. What
        the connection's own gateway counts comes on top.
        """
        limits = self._limits
        if not limits.rates:
            return
        bucket = self._relays.find(
            connection, now, rate=limits.command_rate, burst=limits.command_burst
        )
        wait = bucket.spend(now)
        if not wait:
            wait = self.bytes.spend(f"//{counted_as(address)}", now, max(size, RELAYED_BYTES))
        if wait:
            raise OpenlineError(
                Code.RATE_LIMITED,
                f"too many requests; wait {wait:.2f} s and send more commands with each",
                retry_after=wait,
            )

    def forget_addresses(self, now: float) -> None:
        """Drop the buckets of addresses that have asked for nothing new for long, and refusals that are long past."""
        self._unheard.forget_full(now)
        self._relays.forget_full(now)
        self._full_addresses.forget(now)
        self._full_users.forget(now)


def counted_as(address: str) -> str:
    """Of IPv6 the network: its owner has more addresses than could be counted."""
    return network(address) if ":" in address else address


def _decrement(counts: dict[str, int], key: str) -> int:
    left = max(0, counts.get(key, 0) - 1)
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
    return left
