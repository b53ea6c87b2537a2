"""Tokens that are signed here, as the server's verifier reads them."""

from __future__ import annotations

import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from openline.errors import OpenlineError
from openline.signing import SigningKey

pytestmark = pytest.mark.clients

SECRET = "a secret of thirty-two bytes, or more"
MADE = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


def pem(key, folder):
    file = folder / "key.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


def test_a_shared_secret_signs_what_a_user_may_do():
    key = SigningKey.hs256(SECRET, issuer="https://app.example.org")
    now = int(time.time())
    token = key.connect_token(
        "bob", channels={"room:*": ["subscribe"]}, info={"name": "Bob"}, ttl=60, now=now
    )
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="openline")
    jti = claims.pop("jti")
    assert len(jti) == 32
    assert claims == {
        "iss": "https://app.example.org",
        "aud": "openline",
        "sub": "bob",
        "iat": now,
        "exp": now + 60,
        "channels": {"room:*": ["subscribe"]},
        "info": {"name": "Bob"},
    }


@pytest.mark.parametrize("algorithm", MADE)
def test_a_private_key_signs_by_its_own_algorithm(algorithm, tmp_path):
    private = MADE[algorithm]()
    key = SigningKey.from_pem(pem(private, tmp_path), kid="first")
    token = key.connect_token("bob", issuer="http://a", now=time.time())
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": "first", "typ": "JWT"}
    claims = jwt.decode(token, private.public_key(), algorithms=[algorithm], audience="openline")
    assert (claims["sub"], claims["iss"]) == ("bob", "http://a")
    assert "channels" not in claims


def test_a_curve_that_the_server_does_not_take_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Ed25519, RSA or P-256"):
        SigningKey.from_pem(pem(ec.generate_private_key(ec.SECP384R1()), tmp_path), kid="first")


def test_a_secret_that_can_be_guessed_is_refused():
    with pytest.raises(ValueError, match="at least 32 bytes, not 5"):
        SigningKey.hs256("short")


def test_a_user_that_cannot_be_gets_no_token():
    with pytest.raises(OpenlineError, match="' ' at position 3"):
        SigningKey.hs256(SECRET).connect_token("bob smith", now=0)
