"""Authentication of a call: its bearer token, its scope, and the network that administrative calls must come from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.types import Scope

from services.kernel.domain import permissions
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.http import bearer
from services.kernel.http.addresses import Network
from services.kernel.http.auth_failures import AuthFailures
from services.kernel.tokens import revocations
from services.kernel.tokens.revocations import Revoked
from services.kernel.tokens.verifier import Verifier
from services.publisher.allowance import Allowance

READ = "read"
PUBLISH = "publish"
MANAGE = "manage"


class Guard:
    """Lets a call pass or says why not. `revoked` tells which tokens are void before their time."""

    def __init__(
        self,
        verifier: Verifier,
        *,
        admin_networks: Sequence[Network],
        revoked: Callable[[], Revoked] = Revoked,
        failures: AuthFailures,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._failures = failures
        self._allowance = Allowance(limits)
        self._admin_networks = tuple(admin_networks)
        self._revoked = revoked
        self._clock = clock

    async def caller(self, request: Request, scope: str) -> Claims:
        """The caller's claims. Raises `unauthorized`, `forbidden` when the scope is missing, or `rate_limited`.

        Scope `manage` is for administrative networks only, so that a leaked token alone opens nothing from outside.
        """
        claims = await self.bearer(request.headers.getlist("authorization"), scope, request.scope)
        if scope == MANAGE:
            self.administrator(request)
        return claims

    def administrator(self, request: Request) -> None:
        """Raises `forbidden` unless the call comes from an administrative network."""
        bearer.check_admin(request.scope, self._admin_networks)

    def known(self, digest: bytes, scope: str) -> Claims | None:
        """The claims of a token that was verified before, by its digest (`verifier.digest`); None where `bearer` is to be asked.

        Raises `forbidden` when the scope is missing, or `rate_limited`.
        """
        now = self._clock()
        claims = self._verifier.recall(digest, now)
        if claims is None or self._revoked().covers(claims):
            return None
        return self._passed(claims, scope, now)

    async def bearer(self, authorization: Sequence[str], scope: str, asgi: Scope) -> Claims:
        """The claims behind the headers `Authorization` of a request; it is enough for any scope but `manage`."""
        now = self._clock()
        try:
            claims = await self._verified(bearer.token(authorization), asgi, now)
        except OpenlineError as error:
            await self._failures.count(error, asgi, now)
            raise
        return self._passed(claims, scope, now)

    def _passed(self, claims: Claims, scope: str, now: float) -> Claims:
        permissions.check_scope(claims, scope)
        self._allowance.spend(claims, now)
        return claims

    async def _verified(self, token: str, asgi: Scope, now: float) -> Claims:
        claims = self._verifier.cached(token, now)
        if claims is None:
            await self._failures.check(asgi, now)
            claims = await self._verifier.verify(token, now)
        if self._revoked().covers(claims):
            raise revocations.refusal()
        return claims

    def count(self, claims: Claims, messages: int) -> None:
        """Count the messages of a call that brings several; it has itself counted as one."""
        self._allowance.owe(claims, self._clock(), messages - 1)

    def count_bytes(self, claims: Claims, size: int) -> None:
        """Count bytes that a call is to store. Raises `rate_limited`."""
        self._allowance.spend_bytes(claims, self._clock(), size)
