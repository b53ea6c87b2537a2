"""Keys: which are trusted, and for what."""

from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import OKPAlgorithm

from services.kernel.tokens.keys import (
    JoinedKeys,
    Key,
    StaticKeys,
    UntrustedKeyError,
    from_jwk,
    secret,
)
from tests.unit.kernel.tokens import signing


@pytest.mark.parametrize(
    ("key", "algorithm"), [(signing.ED, "EdDSA"), (signing.EC, "ES256"), (signing.RSA, "RS256")]
)
def test_a_jwk_verifies_the_one_algorithm_of_its_type(key, algorithm):
    found = from_jwk(signing.jwk(key, kid="k"))
    assert (found.algorithm, found.kid) == (algorithm, "k")


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        {},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "OKP"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA", "n": 5, "e": "AQAB"},
        signing.jwk(signing.ED, use="enc"),
        signing.jwk(signing.ED, key_ops=["sign"]),
        signing.jwk(signing.ED, alg="RS256"),
        signing.jwk(ec.generate_private_key(ec.SECP384R1())),
        signing.jwk(rsa.generate_private_key(public_exponent=65_537, key_size=1024)),
        {**signing.jwk(signing.ED), "crv": "X25519"},
    ],
)
def test_a_jwk_that_is_weak_foreign_or_no_public_key_is_refused(jwk):
    with pytest.raises(UntrustedKeyError):
        from_jwk(jwk)


def roca(factor=1):
    """A public RSA key as the library of ROCA makes its primes: powers of 65537 modulo the product of small primes."""
    product = math.prod(n for n in range(2, 702) if all(n % d for d in range(2, n)))
    modulus = factor * (pow(65_537, 12_345, product) + product * ((1 << 2047) // product + 7))
    return rsa.RSAPublicNumbers(65_537, modulus).public_key()


def test_an_rsa_key_whose_factors_can_be_found_is_refused():
    """CVE-2017-15361."""
    with pytest.raises(UntrustedKeyError, match="ROCA"):
        Key(roca())
    assert Key(roca(factor=3)).algorithm == "RS256", "no power of 65537 modulo 3"


def test_a_private_jwk_is_read_as_its_public_half():
    private = OKPAlgorithm.to_jwk(signing.ED, as_dict=True)
    assert from_jwk(private).algorithm == "EdDSA"


def test_a_short_secret_is_refused():
    with pytest.raises(UntrustedKeyError, match="32 bytes"):
        secret("s" * 31)


def test_a_key_verifies_what_it_signed_and_nothing_else():
    key = Key(signing.ED.public_key())
    signature = signing.ED.sign(b"message")
    assert key.verifies(b"message", signature)
    assert not key.verifies(b"other", signature)
    assert not key.verifies(b"message", b"")
    assert not Key(ed25519.Ed25519PrivateKey.generate().public_key()).verifies(
        b"message", signature
    )


async def test_static_keys_without_kid_answer_to_every_kid():
    keys = StaticKeys([Key(b"x" * 32), Key(signing.ED.public_key(), kid="ed")])
    assert len(keys.find("whatever", "HS256")) == 1
    assert len(keys.find("ed", "EdDSA")) == 1
    assert keys.find("other", "EdDSA") == ()
    assert await keys.refresh()


async def test_joined_keys_are_those_of_all_sources():
    joined = JoinedKeys(StaticKeys([secret("a" * 32)]), StaticKeys([secret("b" * 32)]))
    assert len(joined.find(None, "HS256")) == 2
    assert joined.generation == 0
    assert await joined.refresh()
