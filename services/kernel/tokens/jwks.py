"""Keys from JWKS URLs: fetched, kept, refreshed in time and when an unknown `kid` appears."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

import httpx2
import msgspec

from services.kernel.tokens.keys import Key, Keys, UntrustedKeyError, from_jwk, select

MAX_BYTES = 262_144
"""Of one key set; a hostile or broken URL must not fill the memory."""
MAX_KEYS = 100

_log = logging.getLogger(__name__)


class KeySetError(Exception):
    """A URL did not give a usable key set: the message says why."""


class RemoteKeys:
    """The keys of all URLs. A URL that fails keeps the keys it gave last, so an outage of the issuer stops nobody.

    `every` is the period in which removed keys stop verifying; `cooldown` the shortest time between two fetches, so
    that strangers who invent key ids cannot use us against the issuer; `timeout` bounds one fetch. All in seconds.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        every: float = 60,
        cooldown: float = 5,
        timeout: float = 3,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.generation = 0
        self._urls = tuple(dict.fromkeys(urls))
        self._every = every
        self._cooldown = cooldown
        self._timeout = timeout
        self._clock = clock
        self._client = httpx2.AsyncClient(
            timeout=timeout, transport=transport, headers={"accept": "application/json"}
        )
        self._sets: dict[str, tuple[bytes, tuple[Key, ...]]] = {}
        self._failing: set[str] = set(self._urls)
        self._fetched = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        """Whether every URL has given a key set at least once."""
        return len(self._sets) == len(self._urls)

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """As `Keys.find`."""
        return tuple(key for _, keys in self._sets.values() for key in select(keys, kid, algorithm))

    def only(self, urls: Collection[str]) -> Keys:
        """The keys of some of the URLs: those of one issuer."""
        return _SomeKeys(self, frozenset(urls))

    def of(self, urls: Collection[str], kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """As `find`, among the keys of these URLs."""
        sets = (keys for url, (_, keys) in self._sets.items() if url in urls)
        return tuple(key for keys in sets for key in select(keys, kid, algorithm))

    async def refreshed(self, urls: Collection[str]) -> bool:
        """As `refresh`; whether the last fetch of each of these URLs succeeded."""
        return await self.refresh() or self._failing.isdisjoint(urls)

    async def refresh(self) -> bool:
        """Fetch all URLs, unless that was done less than `cooldown` ago; callers at the same time share one fetch.

        False when the last fetch of some URL failed: a key that is not found may yet exist.
        """
        if self._fetching is None:
            pause = self._cooldown if self.loaded else min(1.0, self._cooldown)
            if self._clock() - self._fetched < pause:
                return not self._failing
            self._fetching = asyncio.create_task(self._fetch_all())
            self._fetching.add_done_callback(self._done)
        # Shielded: the caller that began the fetch may go away, the others still wait for it.
        await asyncio.shield(self._fetching)
        return not self._failing

    async def run(self) -> None:
        """Refresh in each period until cancelled; sooner after a failure. Without it removed keys go on verifying."""
        while True:
            good = await self.refresh()
            await asyncio.sleep(self._every if good else max(1.0, min(self._cooldown, self._every)))

    async def close(self) -> None:
        """End connections and a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _done(self, _: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch_all(self) -> None:
        try:
            await asyncio.gather(*(self._fetch(url) for url in self._urls))
        finally:
            self._fetched = self._clock()

    async def _fetch(self, url: str) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._body(url)
            keys = _keys(body)
        except (KeySetError, httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            if url not in self._failing:
                _log.warning("jwks_failed", extra={"url": url, "error": repr(error)})
            self._failing.add(url)
            return
        self._failing.discard(url)
        self._keep(url, body, keys)

    async def _body(self, url: str) -> bytes:
        body = bytearray()
        async with self._client.stream("GET", url) as response:
            if response.status_code != httpx2.codes.OK:
                raise KeySetError(f"status {response.status_code}")
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise KeySetError(f"more than {MAX_BYTES} bytes")
        return bytes(body)

    def _keep(self, url: str, body: bytes, keys: tuple[Key, ...]) -> None:
        old = self._sets.get(url)
        if old is not None and old[0] == body:
            return
        self._sets[url] = (body, keys)
        if old is not None:
            # Even where a key was only added: tokens in the cache are verified once more, which is cheap and safe.
            self.generation += 1


class _SomeKeys:
    """The keys of some URLs, as a source of their own."""

    def __init__(self, remote: RemoteKeys, urls: frozenset[str]) -> None:
        self._remote = remote
        self._urls = urls

    @property
    def generation(self) -> int:
        return self._remote.generation

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        return self._remote.of(self._urls, kid, algorithm)

    async def refresh(self) -> bool:
        return not self._urls or await self._remote.refreshed(self._urls)


def _keys(body: bytes) -> tuple[Key, ...]:
    """The usable keys of a JWK set (RFC 7517 section 5: others are ignored). Raises `KeySetError`."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise KeySetError(f"not JSON: {error}") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise KeySetError(f"no JWK set of at most {MAX_KEYS} keys")
    found: dict[tuple[str | None, str], list[tuple[object, Key]]] = {}
    for member in members:
        try:
            key = from_jwk(member)
        except UntrustedKeyError as error:
            _log.info("jwks_key_ignored", extra={"error": str(error)})
        else:
            found.setdefault((key.kid, key.algorithm), []).append((member, key))
    return tuple(key for same in found.values() for key in _unambiguous(same))


def _unambiguous(same: list[tuple[object, Key]]) -> list[Key]:
    """The keys of one `kid` and algorithm: none where they differ, for which of them would the issuer mean?"""
    if same[0][1].kid is None:
        return [key for _, key in same]
    if any(member != same[0][0] for member, _ in same):
        error = (
            f"kid {same[0][1].kid[:40]!a} names {len(same)} keys; each key needs a kid of its own"
        )
        _log.info("jwks_key_ignored", extra={"error": error})
        return []
    return [same[0][1]]
