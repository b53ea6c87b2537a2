"""Signing tokens here, without a call. Needs the extra `tokens` (PyJWT with cryptography)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from openline.errors import OpenlineError
from openline.grammar import check_user

AUDIENCE = "openline"
SHORTEST_SECRET = 32
OWN_SECONDS = 300
"""How long the token lives that a publisher signs for itself."""


class SigningKey:
    """A key that the server trusts, and the `iss` it signs for.

    `issuer` is one of the server's OPENLINE_ISSUERS; a publisher takes its own URL when it is None.
    """

    def __init__(
        self,
        key: Any,
        algorithm: str,
        *,
        kid: str | None = None,
        issuer: str | None = None,
        audience: str = AUDIENCE,
    ) -> None:
        self._key = key
        self._algorithm = algorithm
        self._kid = kid
        self._issuer = issuer
        self._audience = audience

    @classmethod
    def hs256(
        cls, secret: str | bytes, *, issuer: str | None = None, audience: str = AUDIENCE
    ) -> SigningKey:
        """The secret that the server has as OPENLINE_HS256_SECRET: at least 32 bytes. Raises ValueError."""
        raw = secret.encode() if isinstance(secret, str) else secret
        if len(raw) < SHORTEST_SECRET:
            raise ValueError(
                f"a secret for HS256 has at least {SHORTEST_SECRET} bytes, not {len(raw)}"
            )
        _jwt()
        return cls(raw, "HS256", issuer=issuer, audience=audience)

    @classmethod
    def from_pem(
        cls, path: str | Path, *, kid: str, issuer: str | None = None, audience: str = AUDIENCE
    ) -> SigningKey:
        """A private key in a PEM file: Ed25519, RSA or P-256; `kid` names it in your key set. Raises ValueError."""
        _jwt()
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra

        key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
        return cls(key, _algorithm(key), kid=kid, issuer=issuer, audience=audience)

    def connect_token(
        self,
        user: str,
        *,
        channels: Mapping[str, Iterable[str]] | None = None,
        info: Any = None,
        ttl: int = 3600,
        issuer: str = "",
        now: float,
    ) -> str:
        """A token for a user; `now` in seconds since 1970, `issuer` where the key has none."""
        claims: dict[str, Any] = {}
        if channels is not None:
            claims["channels"] = {pattern: list(actions) for pattern, actions in channels.items()}
        if info is not None:
            claims["info"] = info
        return self._sign(check_user(user), claims, ttl=ttl, issuer=issuer, now=now)

    def access_token(self, *, issuer: str = "", now: float) -> str:
        """A publisher's own token. It counts where the server lets the issuer give scopes (OPENLINE_SCOPE_ISSUERS)."""
        claims = {"scope": "publish read manage"}
        return self._sign("client:publisher", claims, ttl=OWN_SECONDS, issuer=issuer, now=now)

    def _sign(
        self, subject: str, claims: Mapping[str, Any], *, ttl: int, issuer: str, now: float
    ) -> str:
        said = {
            "iss": self._issuer or issuer,
            "aud": self._audience,
            "sub": subject,
            "iat": int(now),
            "exp": int(now) + ttl,
            "jti": uuid.uuid4().hex,
            **claims,
        }
        headers = None if self._kid is None else {"kid": self._kid}
        signed: str = _jwt().encode(said, self._key, algorithm=self._algorithm, headers=headers)
        return signed


def _algorithm(key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 - an extra

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return "ES256"
    raise ValueError("the key must be Ed25519, RSA or P-256: others the server does not take")


def _jwt() -> Any:
    try:
        import jwt  # noqa: PLC0415 - an extra
    except ImportError:
        raise OpenlineError(
            "signing tokens needs PyJWT: pip install 'openline[tokens]'", code="bad_configuration"
        ) from None
    return jwt
