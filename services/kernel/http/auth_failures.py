"""How often an address may send tokens that are refused: a flood of forged tokens must not slow the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Bucket, Buckets, Limits
from services.kernel.http import addresses

PAUSE = 1.0
"""Seconds for which a refusal over the limit is held back: a client that waits for each answer then asks seldom."""

MAX_HELD = 512
"""Refusals held back at once; the others leave at once, since waiting must not cost memory without end."""

MAX_ADDRESSES = 50_000
"""An attacker with many addresses must not fill the memory; the address unseen longest is forgotten."""


class AuthFailures:
    """Counts refused tokens by address; `client` tells the address of an ASGI scope.

    A token that was verified before is never asked about here: back ends share an address with others.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        client: Callable[[Any], str] = addresses.client,
        most: int = MAX_ADDRESSES,
    ) -> None:
        self._limits = limits
        self._client = client
        self._buckets: Buckets[str] = Buckets(most)
        self._held = 0

    async def check(self, scope: Any, now: float) -> None:
        """To be asked before a token costs a signature. Raises `rate_limited` for an address that failed too often."""
        if self._limits.rates and (bucket := self._bucket(scope, now)).level(now) < 1:
            await self._refuse(bucket, now)

    async def count(self, error: OpenlineError, scope: Any, now: float) -> None:
        """Count a refusal if it is `unauthorized`. Raises `rate_limited` in its place beyond what an address may."""
        if not self._limits.rates or error.code is not Code.UNAUTHORIZED:
            return
        bucket = self._bucket(scope, now)
        if bucket.spend(now):
            await self._refuse(bucket, now)

    def _bucket(self, scope: Any, now: float) -> Bucket:
        limits = self._limits
        return self._buckets.find(
            addresses.network(self._client(scope)),
            now,
            rate=limits.refused_tokens_rate,
            burst=limits.refused_tokens_burst,
        )

    async def _refuse(self, bucket: Bucket, now: float) -> NoReturn:
        wait = max(PAUSE, (1 - bucket.level(now)) / bucket.rate)
        if self._held < MAX_HELD:
            self._held += 1
            try:
                await asyncio.sleep(PAUSE)
            finally:
                self._held -= 1
        raise OpenlineError(
            Code.RATE_LIMITED,
            "too many tokens from this address were refused; check the token, then try again",
            retry_after=wait,
        )


def client_behind(proxies: Iterable[str]) -> Callable[[Any], str]:
    """The client's address of a scope that did not pass ProxyHeadersMiddleware, by the same rules."""
    trusted = ProxyHeadersMiddleware(_nothing, trusted_hosts=list(proxies)).trusted_hosts

    def client(scope: Any) -> str:
        host = addresses.client(scope)
        if host not in trusted:
            return host
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if not forwarded:
            return host
        return trusted.get_trusted_client_address(forwarded[-1].decode("latin-1"))[0] or host

    return client


async def _nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """Stands for an application."""
