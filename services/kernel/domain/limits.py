"""How much a stranger may send: the protocol's defaults and the token bucket that counts it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the fleet and of a connection. Rates are per second; sizes are bytes; times are seconds.

    `rates` False (OPENLINE_LIMITS=off) lifts rates and connection counts for benches, never sizes.
    """

    rates: bool = True
    frame_bytes: int = 1_048_576
    body_bytes: int = 1_048_576
    channels_per_connection: int = 100
    connection_rate: float = 50
    connection_burst: int = 200
    user_rate: float = 100
    user_burst: int = 400
    user_bytes_rate: int = 131_072
    user_bytes_burst: int = 4_194_304
    client_bytes_rate: int = 16_777_216
    client_bytes_burst: int = 134_217_728
    connections_per_user: int = 100
    connections_per_address: int = 1000
    unheard_rate: float = 50
    unheard_burst: int = 100_000
    login_rate_per_minute: int = 60
    wrong_passwords_per_hour: int = 30
    wrong_passwords_burst: int = 10
    refresh_rate_per_minute: int = 30
    refused_tokens_rate: float = 20
    refused_tokens_burst: int = 200
    refusal_rate: float = 100
    refusal_burst: int = 1000
    auth_seconds: float = 10
    ping_seconds: float = 25
    pong_seconds: float = 10
    outbox_bytes: int = 1_048_576
    replay_bytes: int = 134_217_728
    presence_page: int = 1000
    batch: int = 1000


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

    def give_back(self, now: float) -> None:
        """What was taken last did not count."""
        self._level = min(self.burst, self.level(now) + 1)
        self._at = max(self._at, now)

    def level(self, now: float) -> float:
        """What could be taken at `now`."""
        return min(self.burst, self._level + max(0.0, now - self._at) * self.rate)

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

    def __len__(self) -> int:
        return len(self._buckets)
