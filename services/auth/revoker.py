"""Revoking: recorded for the fleet, announced to the gateways, and known here at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.auth import metrics
from services.kernel.broker.port import Broker
from services.kernel.domain import control
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.control import Revoke
from services.kernel.tokens.known_revocations import KnownRevocations
from services.kernel.tokens.revocations import Kind, Revocation, Revocations

Announce = Callable[[dict[str, Any]], Awaitable[None]]

FRESH = 1.0
"""Seconds for which a look at the record counts as fresh."""

PATIENCE = 1.5
"""Seconds that a look may take; while Redis hangs, callers must not wait one behind the other."""


async def silent(_revocation: dict[str, Any]) -> None:
    """Announces nothing: gateways then learn of a revocation when they next load the record."""


def announce_on(broker: Broker) -> Announce:
    """Tells every gateway of a revocation at once, through the bus. What it returns raises `unavailable`."""

    async def announce(revocation: dict[str, Any]) -> None:
        await broker.control(control.encode(Revoke(**revocation)))

    return announce


class Revoker:
    """Adds revocations and answers what is revoked.

    `announce` gets `Revocation.as_dict()` after the record was written. Its failure is raised to the caller, who may repeat
    the call; the revocation is recorded all the same and holds for whoever loads the record.
    """

    def __init__(
        self,
        revocations: Revocations,
        *,
        announce: Announce = silent,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._revocations = revocations
        self._known = KnownRevocations(revocations, heard=self._hear)
        self._users: dict[str, float] = {}
        self._announce = announce
        self._clock = clock
        self._looked: float | None = None

    async def revoke_token(self, jti: str, exp: float) -> None:
        """End one access token. Raises `unavailable`."""
        await self._add(Revocation(kind=Kind.TOKEN, value=jti, exp=exp))

    async def revoke_family(self, name: str, exp: float) -> None:
        """End the access tokens of one login: `name` is what their `jti` begins with. Raises `unavailable`."""
        await self._add(Revocation(kind=Kind.FAMILY, value=name, exp=exp))

    async def revoke_all(self, kind: Kind, value: str, *, longest: float) -> None:
        """End all tokens that a user or client was given so far; `longest` is the longest life of a token, in seconds.

        Returns in the next second: `iat` counts whole ones, so what is issued from then on is good. Raises `unavailable`.
        """
        now = self._clock()
        await self._add(Revocation(kind=kind, value=value, exp=now + longest, cutoff=now))
        await self._sleep(1 - now % 1)

    async def covers(self, claims: Claims, *, fresh: bool = False) -> bool:
        """Whether the token of these claims was revoked, as of a second ago or, with `fresh`, of now.

        Raises `unavailable` when that was never known. While Redis is away the last known record counts: nobody can add
        to it then.
        """
        if fresh or self._looked is None or self._clock() - self._looked > FRESH:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.catch_up()
            except (OpenlineError, TimeoutError) as error:
                if not self._known.loaded:
                    raise OpenlineError(
                        Code.UNAVAILABLE,
                        "what was revoked is not known: Redis does not answer",
                        retry_after=1,
                    ) from error
        return self._known.revoked.covers(claims)

    async def catch_up(self) -> None:
        """Learn what others have revoked. Raises `unavailable`."""
        now = self._clock()
        await self._known.catch_up(now)
        self._looked = now

    def take_users(self) -> dict[str, float]:
        """The users that others have revoked since the last call, each with its cutoff."""
        users, self._users = self._users, {}
        return users

    def put_back(self, users: Mapping[str, float]) -> None:
        """Name these again at the next call: what they had could not be ended."""
        for user, cutoff in users.items():
            self._name(user, cutoff)

    def _hear(self, revocation: Revocation) -> None:
        if revocation.kind is Kind.SUBJECT:
            self._name(revocation.value, revocation.cutoff)

    def _name(self, user: str, cutoff: float) -> None:
        self._users[user] = max(cutoff, self._users.get(user, 0.0))

    async def _add(self, revocation: Revocation) -> None:
        await self._revocations.add(revocation)
        self._known.revoked.add(revocation)
        metrics.REVOCATIONS.labels(revocation.kind.value).inc()
        await self._announce(revocation.as_dict())
