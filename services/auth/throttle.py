"""How often something may be tried: each key has a token bucket; the number of buckets is bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Bucket, Buckets

MAX_KEYS = 50_000
"""An attacker with many addresses or names must not fill the memory; the key unseen longest is forgotten."""


class Throttle:
    """`burst` attempts a key at once, and `per_minute` after that; `refusal` says what is too often."""

    def __init__(
        self,
        per_minute: float,
        *,
        refusal: str,
        burst: float | None = None,
        on: bool = True,
        most: int = MAX_KEYS,
    ) -> None:
        self._per_minute = per_minute
        self._burst = per_minute if burst is None else burst
        self._refusal = refusal
        self._on = on
        self._buckets: Buckets[str] = Buckets(most)

    def attempt(self, key: str, now: float) -> None:
        """Count one. Raises `rate_limited` with the seconds to wait."""
        if not self._on:
            return
        if wait := self._bucket(key, now).spend(now):
            raise OpenlineError(Code.RATE_LIMITED, self._refusal, retry_after=wait)

    def give_back(self, key: str, now: float) -> None:
        """An attempt that succeeded does not count."""
        if self._on:
            self._bucket(key, now).give_back(now)

    def _bucket(self, key: str, now: float) -> Bucket:
        return self._buckets.find(key, now, rate=self._per_minute / 60, burst=self._burst)


class _Place(NamedTuple):
    account: str
    network: str


class Guesses:
    """Wrong passwords of an account, from wherever they come: an attacker with many addresses has no more than one has.

    A network that has logged in to the account before counts by itself, so that no stranger locks the owner out.
    """

    def __init__(
        self, per_hour: float, burst: float, *, on: bool = True, most: int = MAX_KEYS
    ) -> None:
        self._strangers, self._places = (
            Throttle(
                per_hour / 60,
                burst=burst,
                refusal="too many wrong passwords for this account; wait, or log in from where you did before",
                on=on,
                most=most,
            )
            for _ in range(2)
        )
        self._most = most
        self._known: OrderedDict[_Place, None] = OrderedDict()

    def attempt(self, account: str, network: str, now: float) -> None:
        """Count a password that is about to be checked. Raises `rate_limited`, and it must not be checked."""
        throttle, key = self._counted(account, network)
        throttle.attempt(key, now)

    def right(self, account: str, network: str, now: float) -> None:
        """It was the right one: it does not count, and its network is known from now on."""
        throttle, key = self._counted(account, network)
        throttle.give_back(key, now)
        place = _Place(account, network)
        self._known[place] = None
        self._known.move_to_end(place)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def _counted(self, account: str, network: str) -> tuple[Throttle, str]:
        """By what it is counted. Strangers choose accounts' names, so those share no keys with networks."""
        if (account, network) in self._known:
            return self._places, f"{network} {account}"
        return self._strangers, account
