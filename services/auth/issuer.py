"""Makes tokens: JWTs with the claims of the protocol, signed with the keyring's current key."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jwt

from services.auth.keyring import Keyring
from services.kernel.domain.claims import PERSONAL, RATE
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.revocations import FAMILY_END
from services.kernel.tokens.verifier import MAX_TOKEN


class Issued(NamedTuple):
    """A token, its id, and until when (seconds since 1970) and for what it is good."""

    token: str
    jti: str
    exp: int
    expires_in: int
    scope: str


class Issuer:
    """Issues for one issuer and audience."""

    def __init__(self, keyring: Keyring, *, issuer: str, audience: str) -> None:
        self._keyring = keyring
        self.issuer = issuer
        self.audience = audience

    def issue(
        self,
        sub: str,
        *,
        ttl: int,
        now: float,
        client: str | None = None,
        scope: Collection[str] = (),
        channels: Mapping[str, Any] | None = None,
        info: Any = None,
        rate: float | None = None,
        personal: bool = True,
        family: str | None = None,
    ) -> Issued:
        """A token for `sub`, good for `ttl` seconds; claims that say nothing are left out.

        `rate` is calls a second; `personal` as in `Claims`. `family` is what the `jti` begins with, so that all tokens of
        one login can be revoked at once.

        Raises `limit_exceeded` when the claims make it longer than any verifier accepts.
        """
        words = " ".join(sorted(scope))
        jti, exp = secrets.token_urlsafe(16), int(now) + ttl
        if family is not None:
            jti = f"{family}{FAMILY_END}{jti}"
        required = {"sub": sub, "iat": int(now), "exp": exp, "jti": jti}
        optional = {"client_id": client, "scope": words or None, "channels": channels, "info": info}
        optional |= {RATE: rate, PERSONAL: None if personal else False}
        given = {k: v for k, v in optional.items() if v is not None}
        return Issued(self._signed({**required, **given}), jti, exp, ttl, words)

    def _signed(self, claims: Mapping[str, Any]) -> str:
        payload = {"iss": self.issuer, "aud": self.audience, **claims}
        signer = self._keyring.signer()
        token = jwt.encode(
            payload, signer.private, algorithm=signer.algorithm, headers={"kid": signer.kid}
        )
        if len(token) > MAX_TOKEN:
            raise OpenlineError(
                Code.LIMIT_EXCEEDED,
                f"the token would have {len(token)} characters; at most {MAX_TOKEN}: shorten channels or info",
            )
        return token
