"""How much a stranger may send: every limit with its default, and the token bucket that counts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

GATEWAY, AUTH, PUBLISHER = SERVICES = "gateway", "auth", "publisher"


def _limit(
    default: float, what: str, *, low: float, high: float, of: tuple[str, ...] = (GATEWAY,)
) -> Any:
    """A limit, which is a setting OPENLINE_<its name> of the services `of`, from `low` to `high`."""
    return field(default=default, metadata={"what": what, "low": low, "high": high, "services": of})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the fleet and of a connection. Rates are per second; sizes are bytes; times are seconds.

    `rates` False (OPENLINE_LIMITS=off) lifts rates and connection counts for benches, never sizes. All others are
    settings by being here: services.kernel.ops.limits reads them, and the settings reference lists them.
    """

    rates: bool = True
    connections_per_user: int = _limit(
        100, "connections that a user may have, over all gateways", low=1, high=100_000
    )
    connections_per_address: int = _limit(
        1000,
        "connections that an address, or an IPv6 network of /64, may have over all gateways; where it has fewer than a hundredth on one, those are not "
        "counted on the others; no more than OPENLINE_NGINX_CONNECTIONS",
        low=1,
        high=1_000_000,
    )
    channels_per_connection: int = _limit(
        100, "channels that a connection may be subscribed to", low=1, high=10_000
    )
    command_rate: float = _limit(
        50, "commands a second of a connection, in the long run", low=0.1, high=100_000
    )
    command_burst: int = _limit(200, "commands of a connection at once", low=1, high=1_000_000)
    user_rate: float = _limit(
        100, "commands a second of a user, over all gateways", low=0.1, high=100_000
    )
    user_burst: int = _limit(
        400,
        "commands of a user at once; each gateway hands out its part, or OPENLINE_COMMAND_BURST where that is more, and what "
        "is left within a quarter of a second",
        low=1,
        high=1_000_000,
    )
    user_bytes_rate: int = _limit(
        131_072,
        "bytes a second that a user may send over all sockets; anonymous clients count by address",
        low=1_024,
        high=1_073_741_824,
    )
    user_bytes_burst: int = _limit(
        4_194_304, "bytes that a user may send at once", low=1_048_576, high=68_719_476_736
    )
    client_bytes_rate: int = _limit(
        16_777_216,
        "bytes of data a second that a client may have stored by one publisher; a broadcast counts once for each channel",
        of=(PUBLISHER,),
        low=1_024,
        high=68_719_476_736,
    )
    client_bytes_burst: int = _limit(
        134_217_728,
        "bytes of data that a client may have stored at once",
        of=(PUBLISHER,),
        low=1_048_576,
        high=68_719_476_736,
    )
    unheard_rate: float = _limit(
        50,
        "channels a second that an address may ask for and nobody on its gateway listens to: new names fill the store",
        low=0.1,
        high=100_000,
    )
    unheard_burst: int = _limit(
        100_000,
        "such channels at once; below connections times channels, who comes back with all of them has to wait",
        low=1,
        high=10_000_000,
    )
    refusal_rate: float = _limit(
        100,
        "refused commands a second of a connection, above which it is closed",
        low=0.1,
        high=100_000,
    )
    refusal_burst: int = _limit(
        1000, "refused commands of a connection at once", low=1, high=1_000_000
    )
    frame_rate: float = _limit(
        1000,
        "WebSocket frames a second of a connection, fragments, pings and pongs too; more wait, and who has more for 10 s on "
        "end is closed with 1008",
        low=10,
        high=1_000_000,
    )
    read_bytes_rate: int = _limit(
        2_097_152,
        "bytes a second that are read from a WebSocket connection; more wait",
        low=65_536,
        high=1_073_741_824,
    )
    login_rate_per_minute: int = _limit(
        60, "logins and registrations a minute of an address", of=(AUTH,), low=1, high=6_000
    )
    wrong_passwords_per_hour: int = _limit(
        30,
        "wrong passwords an hour of an account, from all addresses that never logged in to it, and from each other one",
        of=(AUTH,),
        low=1,
        high=100_000,
    )
    wrong_passwords_burst: int = _limit(
        10, "such passwords at once", of=(AUTH,), low=1, high=10_000
    )
    refresh_rate_per_minute: int = _limit(
        30, "refreshes a minute of a login", of=(AUTH,), low=1, high=6_000
    )
    refused_tokens_rate: float = _limit(
        20,
        "refused tokens a second of an address, above which its new tokens wait; each service counts for itself",
        of=(AUTH, PUBLISHER),
        low=0.1,
        high=100_000,
    )
    refused_tokens_burst: int = _limit(
        200, "refused tokens of an address at once", of=(AUTH, PUBLISHER), low=1, high=1_000_000
    )
    ticket_seconds: float = _limit(
        30, "seconds in which a ticket can be used", of=(AUTH,), low=1, high=300
    )
    frame_bytes: int = _limit(
        1_048_576,
        "bytes of a message that a client sends over WebSocket",
        low=65_536,
        high=16_777_216,
    )
    body_bytes: int = _limit(
        1_048_576,
        "bytes of a request's body; no more than OPENLINE_NGINX_BODY_BYTES",
        of=(PUBLISHER,),
        low=65_536,
        high=16_777_216,
    )
    head_bytes: int = _limit(
        131_072,
        "bytes of a request's first line and headers; nginx passes no more than 128 KiB",
        of=SERVICES,
        low=32_768,
        high=1_048_576,
    )
    head_lines: int = _limit(200, "lines of a request's headers", of=SERVICES, low=50, high=10_000)
    head_seconds: float = _limit(
        15,
        "seconds from a connection, or a head's first byte, to the head's last",
        of=SERVICES,
        low=1,
        high=60,
    )
    body_seconds: float = _limit(
        60, "seconds from the head's end to the body's last byte", of=SERVICES, low=1, high=3_600
    )
    pipelined_requests: int = _limit(
        16,
        "requests of a connection that may wait for the answers to those before them",
        of=SERVICES,
        low=1,
        high=1_000,
    )
    outbox_bytes: int = _limit(
        1_048_576, "bytes that may wait for a slow client", low=65_536, high=268_435_456
    )
    replay_bytes: int = _limit(
        134_217_728,
        "bytes of missed messages that wait on a gateway for all its returning clients, no more than half of a container's memory",
        low=1_048_576,
        high=68_719_476_736,
    )
    conflate_bytes: int = _limit(
        67_108_864,
        "bytes of newest values by key that wait on a gateway for all its slow readers, with what they take as objects; beyond, "
        "a slow reader gets the channel's newest message alone",
        low=0,
        high=68_719_476_736,
    )
    presence_page: int = _limit(1000, "members on a page of presence", low=1, high=1000)
    handshake_seconds: float = _limit(
        15,
        "seconds in which a handshake must be decided, tickets and key sets included",
        low=1,
        high=60,
    )
    auth_seconds: float = _limit(
        10, "seconds in which a client without a token must have sent one", low=1, high=60
    )
    ping_seconds: float = _limit(
        25,
        "seconds of silence after which a client is asked for a sign of life; nginx cuts what is silent for 65",
        low=1,
        high=60,
    )
    pong_seconds: float = _limit(10, "seconds in which it must have answered", low=1, high=60)


class Bucket:
    """A token bucket: `burst` at once, `rate` a second after that. Time is the caller's, in seconds."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = float(burst)
        self._at = now

    def spend(self, now: float, amount: float = 1) -> float:
        """0.0 when `amount` was taken; else nothing was, and the answer is the seconds until it can be."""
        self._level = min(self.burst, self._level + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)
        if self._level >= amount:
            self._level -= amount
            return 0.0
        return (amount - self._level) / self.rate

    def overdraw(self, now: float, amount: float) -> float:
        """Take `amount`, be it more than there is: who comes next waits for it. Seconds to wait where something is owed, and nothing taken."""
        level = min(self.burst, self._level + max(0.0, now - self._at) * self.rate)
        self._at = max(self._at, now)
        if level < 0:
            self._level = level
            return -level / self.rate
        self._level = level - amount
        return 0.0

    def give_back(self, now: float) -> None:
        """What was taken last did not count."""
        self._level = min(self.burst, self.level(now) + 1)
        self._at = max(self._at, now)

    def level(self, now: float) -> float:
        """What could be taken at `now`."""
        return min(self.burst, self._level + max(0.0, now - self._at) * self.rate)

    def settle(self, now: float, level: float) -> None:
        """Set what can be spent, to no more than the burst: what the whole fleet has left is known."""
        self._level = min(self.burst, level)
        self._at = max(self._at, now)

    def lower(self, now: float, level: float) -> None:
        """Set what can be taken to at most `level`: what others of the fleet have taken counts here too."""
        self._level = min(self.level(now), level)
        self._at = max(self._at, now)


class Buckets(Generic[K]):
    """A token bucket a key. Strangers choose keys, so beyond `most` the one unseen longest is forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buckets: OrderedDict[K, Bucket] = OrderedDict()

    def find(self, key: K, now: float, *, rate: float, burst: float) -> Bucket:
        """The key's bucket; a full one of `rate` and `burst` when the key is new."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(rate, burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket

    def forget_full(self, now: float) -> None:
        """Drop those that are full again: a new one would be no other."""
        for key in [k for k, bucket in self._buckets.items() if bucket.level(now) >= bucket.burst]:
            del self._buckets[key]

    def __len__(self) -> int:
        return len(self._buckets)
