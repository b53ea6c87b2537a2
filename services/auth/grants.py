"""The grants of the token endpoint: what each asks for, what it refuses, what it gives (RFC 6749 sections 4 to 6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from starlette.concurrency import run_in_threadpool

from services.auth import metrics, oauth
from services.auth.credentials import Passwords, secret_matches
from services.auth.issuer import Issued, Issuer
from services.auth.oauth import OAuthError
from services.auth.refresh_tokens import RefreshToken, tag
from services.auth.revoker import Revoker
from services.auth.store import Client, Family, SingleToken, Store, User
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import OpenlineError

SCOPES = ("publish", "read", "manage", "tokens")

_log = structlog.get_logger(__name__)


class Kept(NamedTuple):
    """What is known of a refresh token: its login, and whether it is the newest there.

    `single` is its own record if an older version issued it; it has no family yet then.
    """

    family: Family
    is_newest: bool
    single: SingleToken | None = None


class Answer(NamedTuple):
    """What a grant gave: an access token and, for users, a refresh token."""

    issued: Issued
    refresh: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """All grants over one store and issuer. Lives in seconds; errors are `OAuthError`s, or `unavailable`."""

    store: Store
    issuer: Issuer
    passwords: Passwords
    revoker: Revoker
    token_ttl: int
    refresh_ttl: int
    clock: Callable[[], float] = time.time

    async def authenticate(self, client_id: str, secret: str) -> Client:
        """The client of these credentials. One answer for unknown, disabled and wrong: names are not to be probed."""
        client = await run_in_threadpool(self.store.client, client_id)
        good = secret_matches(client.secret if client else None, secret)
        if client is None or client.disabled is not None or not good:
            raise OAuthError(oauth.INVALID_CLIENT, "unknown client, or its secret is wrong")
        return client

    async def client_credentials(self, client: Client, scope: str | None) -> Answer:
        """A token for the client itself (RFC 6749 section 4.4): no refresh token, it can always ask again."""
        issued = self.issuer.issue(
            f"client:{client.client_id}",
            ttl=self.token_ttl,
            now=self.clock(),
            client=client.client_id,
            scope=_narrow(scope, client.scope),
            channels=client.channels,
            rate=client.rate,
        )
        return Answer(issued)

    async def password(
        self, username: str, password: str, *, client: Client | None, scope: str | None
    ) -> Answer:
        """A token for a user of our own (RFC 6749 section 4.3)."""
        user = await run_in_threadpool(self.store.user, username)
        good = await self.passwords.matches(user.password if user else None, password)
        if user is None or user.disabled is not None or not good:
            metrics.LOGINS.labels("refused").inc()
            raise OAuthError(oauth.INVALID_GRANT, "unknown user, or the password is wrong")
        answer, kept = self._for_user(
            user,
            RefreshToken.first(),
            client=client.client_id if client else None,
            scope=_narrow(scope, user.scope),
        )
        await run_in_threadpool(self.store.keep_family, kept)
        await self._check_unchanged(user, kept)
        metrics.LOGINS.labels("ok").inc()
        return answer

    async def _check_unchanged(self, user: User, kept: Family) -> None:
        """Refuse a login whose user was disabled or replaced while the password was checked, which takes its time.

        Asked when the refresh token is kept and `iat` is set: whoever changes the user later ends both.
        """
        now = await run_in_threadpool(self.store.user, user.username)
        if now is None or now.disabled is not None or now.password != user.password:
            await run_in_threadpool(self.store.end_family, kept.family, self.clock())
            metrics.LOGINS.labels("refused").inc()
            raise OAuthError(oauth.INVALID_GRANT, "unknown user, or the password is wrong")

    async def refresh(self, token: str, *, client: Client | None, scope: str | None) -> Answer:
        """A new access and refresh token (RFC 6749 section 6); the old refresh token is spent.

        One that was spent before is a sign of theft: its whole family ends (RFC 9700 section 4.14.2).
        """
        given = RefreshToken.parse(token)
        kept = await self.find(given)
        old = kept.family if kept else None
        if kept is None or old is None or old.client_id != (client.client_id if client else None):
            raise OAuthError(oauth.INVALID_GRANT, "the refresh token is not known for this client")
        if old.revoked is None and not kept.is_newest:
            await self._stolen(old)
        if old.revoked is not None or old.expires <= self.clock():
            raise OAuthError(oauth.INVALID_GRANT, "the refresh token has ended; log in again")
        await self._check_in_force(old)
        user = await self._owner(old)
        answer, new = self._for_user(
            user,
            RefreshToken.first() if kept.single else given.next(),
            client=old.client_id,
            scope=_narrow(scope, _both(old.scope, user.scope)),
            before=old,
        )
        if not await run_in_threadpool(self._replace, kept, new):
            await self._stolen(old)
        # Whoever revokes the user from now on ends the new tokens; who did so meanwhile meant them as well.
        await self._check_in_force(old, new)
        return answer

    async def _check_in_force(self, old: Family, new: Family | None = None) -> None:
        """Refuse a login that was revoked since its last token was issued; `new` is what has taken its place meanwhile."""
        last = Claims(sub=old.username, iat=old.issued, client=old.client_id)
        if await self.revoker.covers(last, fresh=new is not None):
            await run_in_threadpool(self.store.end_family, (new or old).family, self.clock())
            raise OAuthError(oauth.INVALID_GRANT, "the user's tokens were revoked; log in again")

    async def find(self, token: RefreshToken) -> Kept | None:
        """What is known of a refresh token, in whatever state it is."""
        if token.family:
            family = await run_in_threadpool(self.store.family, token.family)
            return Kept(family, family.digest == token.digest) if family else None
        single = await run_in_threadpool(self.store.single, token.digest)
        return _kept(single) if single else None

    def _replace(self, kept: Kept, new: Family) -> bool:
        if kept.single:
            return self.store.adopt(kept.single, new, now=self.clock())
        return self.store.rotate(kept.family, new)

    async def end_family(self, family: str) -> None:
        """End the refresh tokens of a login and the access tokens that came with them (RFC 7009 section 2.1)."""
        now = self.clock()
        ended = await run_in_threadpool(self.store.end_family, family, now)
        if ended.family is not None and ended.family.access_exp > now:
            await self.revoker.revoke_family(tag(family), ended.family.access_exp)
        for one in ended.single:
            await self.revoker.revoke_token(one.jti, one.jti_exp)

    async def _owner(self, old: Family) -> User:
        user = await run_in_threadpool(self.store.user, old.username)
        if user is None or user.disabled is not None:
            raise OAuthError(oauth.INVALID_GRANT, "the user of this refresh token is disabled")
        return user

    async def _stolen(self, old: Family) -> None:
        metrics.REUSES.inc()
        _log.warning("refresh_token_reused", user=old.username, client=old.client_id)
        try:
            await self.end_family(old.family)
        except OpenlineError:
            # The refresh tokens have ended in the database; the access tokens live on until their exp.
            _log.warning("access_token_revocation_failed", user=old.username)
        raise OAuthError(oauth.INVALID_GRANT, "the refresh token was used before; log in again")

    def _for_user(
        self,
        user: User,
        token: RefreshToken,
        *,
        client: str | None,
        scope: frozenset[str],
        before: Family | None = None,
    ) -> tuple[Answer, Family]:
        now = self.clock()
        issued = self.issuer.issue(
            user.username,
            ttl=self.token_ttl,
            now=now,
            client=client,
            scope=scope,
            channels=user.channels,
            family=tag(token.family),
        )
        kept = Family(
            family=token.family,
            digest=token.digest,
            username=user.username,
            client_id=client,
            scope=before.scope if before else issued.scope,
            expires=now + self.refresh_ttl,
            access_exp=max(issued.exp, before.access_exp if before else 0),
            issued=int(now),
        )
        return Answer(issued, token.text), kept


def _kept(single: SingleToken) -> Kept:
    family = Family(
        family=single.family,
        digest=single.digest,
        username=single.username,
        client_id=single.client_id,
        scope=single.scope,
        expires=single.expires,
        revoked=single.revoked,
        access_exp=single.jti_exp,
    )
    return Kept(family, single.used is None, single)


def _narrow(asked: str | None, held: str) -> frozenset[str]:
    """The scopes asked for, or all that are held when none was. Raises `invalid_scope` naming what is not held."""
    have = frozenset(held.split())
    if asked is None:
        return have
    want = frozenset(asked.split(" ")) - {""}
    if not want:
        raise OAuthError(oauth.INVALID_SCOPE, "scope names no scope")
    if want - have:
        raise OAuthError(
            oauth.INVALID_SCOPE,
            f"scope not granted to this client or user; granted: {' '.join(sorted(have)) or 'none'}",
        )
    return want


def _both(one: str, other: str) -> str:
    return " ".join(frozenset(one.split()) & frozenset(other.split()))


def metadata(
    issuer: str, *, grants: tuple[str, ...], scopes: tuple[str, ...] = SCOPES
) -> Mapping[str, Any]:
    """The authorization server's description of itself (RFC 8414)."""
    methods = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/auth/token",
        "jwks_uri": f"{issuer}/auth/jwks.json",
        "revocation_endpoint": f"{issuer}/auth/revoke",
        "introspection_endpoint": f"{issuer}/auth/introspect",
        # Required by RFC 8414; none, as there is no authorization endpoint.
        "response_types_supported": [],
        "grant_types_supported": list(grants),
        "scopes_supported": list(scopes),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
    }
