"""Tokens made by hand, right and wrong, for the tests of verification."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_800_000_000.0
ISSUER = "https://issuer.example"
AUDIENCE = "openline"
SECRET = "s" * 32

ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def payload(**claims: Any) -> dict[str, Any]:
    """A good payload with some claims changed; None leaves a claim out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "bob", "iat": NOW - 10, "exp": NOW + 60}
    return {name: value for name, value in {**good, **claims}.items() if value is not None}


def token(key: Any = ED, *, alg: str = "EdDSA", kid: str | None = "ed", **claims: Any) -> str:
    """A signed token."""
    headers = {"kid": kid} if kid else {}
    return jwt.encode(payload(**claims), key, algorithm=alg, headers=headers)


def part(value: Any) -> str:
    """One base64url part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: Any, body: Any, key: Any = ED) -> str:
    """A token with any header and payload, rightly signed with Ed25519."""
    message = f"{part(header)}.{part(body)}"
    return f"{message}.{part(key.sign(message.encode()))}"


def jwk(key: Any, *, kid: str = "ed", **members: Any) -> dict[str, Any]:
    """The public JWK of a private key."""
    maker: Any = {ed25519.Ed25519PrivateKey: OKPAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    cls = next((m for kind, m in maker.items() if isinstance(key, kind)), RSAAlgorithm)
    return {**cls.to_jwk(key.public_key(), as_dict=True), "kid": kid, **members}
