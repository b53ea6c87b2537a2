"""Keys that can verify a token's signature, and the port by which the verifier asks for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ALGORITHMS = ("EdDSA", "RS256", "ES256", "HS256")
"""What a token may be signed with; `none` and everything else is refused."""

MIN_SECRET_BYTES = 32
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
"""Verifying costs time with the size: a key set must not be able to make each token cost a second."""

_JWS = jwt.PyJWS(algorithms=list(ALGORITHMS))


class UntrustedKeyError(ValueError):
    """A key that must not be trusted: the message says which rule it breaks."""


class Key:
    """One verification key. It verifies exactly one algorithm, so a token cannot choose how its key is used."""

    __slots__ = ("_material", "algorithm", "kid")

    def __init__(self, material: Any, *, kid: str | None = None) -> None:
        """`material` is a public key of cryptography, or bytes for HS256. Raises `UntrustedKeyError`."""
        self.algorithm = _algorithm(material)
        self.kid = kid
        self._material = material

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature over the message (RFC 7515 section 5.2) was made by this key."""
        algorithm = _JWS.get_algorithm_by_name(self.algorithm)
        return bool(algorithm.verify(message, self._material, signature))

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, kid={self.kid!r})"


def _algorithm(material: Any) -> str:
    if isinstance(material, ed25519.Ed25519PublicKey):
        return "EdDSA"
    if isinstance(material, ec.EllipticCurvePublicKey) and isinstance(material.curve, ec.SECP256R1):
        return "ES256"
    if isinstance(material, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= material.key_size <= MAX_RSA_BITS:
            raise UntrustedKeyError(f"an RSA key has {MIN_RSA_BITS}-{MAX_RSA_BITS} bits")
        if _factors_are_guessable(material.public_numbers().n):
            raise UntrustedKeyError(
                "the RSA key can be factored (ROCA, CVE-2017-15361); make a new one with other software"
            )
        return "RS256"
    if isinstance(material, bytes):
        if len(material) < MIN_SECRET_BYTES:
            raise UntrustedKeyError(
                f"an HS256 secret has at least {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32"
            )
        return "HS256"
    raise UntrustedKeyError("only Ed25519, P-256, RSA and HS256 keys verify tokens")


def _factors_are_guessable(modulus: int) -> bool:
    """Whether a modulus was made by the library of ROCA: its primes are powers of 65537 modulo each small prime.

    Of other keys, one in 2^150 looks so (Nemec et al., The Return of Coppersmith's Attack, section 3.2).
    """
    return all(pow(modulus, order, prime) == 1 for prime, order in _orders())


@cache
def _orders() -> tuple[tuple[int, int], ...]:
    """The primes that each such key of 2048 bits and more is built on, and the order of 65537 modulo each of them."""
    primes = [n for n in range(3, 702) if all(n % d for d in range(2, n))]
    return tuple(
        (prime, next(k for k in range(1, prime) if pow(65537, k, prime) == 1)) for prime in primes
    )


def from_jwk(jwk: object) -> Key:
    """A key from one member of a JWK set (RFC 7517).

    Raises `UntrustedKeyError` when it is none of ours or must not be trusted.

    A symmetric key is refused: what a URL shows to everyone can prove nothing.
    """
    if not isinstance(jwk, Mapping) or jwk.get("kty") not in ("OKP", "EC", "RSA"):
        raise UntrustedKeyError("only public keys of kty OKP, EC and RSA are read from a key set")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise UntrustedKeyError("the key is not for signatures")
    public = {name: value for name, value in jwk.items() if name not in ("d", "p", "q", "alg")}
    kid = jwk.get("kid")
    try:
        key = Key(_parse(public), kid=kid if isinstance(kid, str) else None)
    except (jwt.PyJWTError, ValueError, TypeError, LookupError) as error:
        raise UntrustedKeyError(f"the key cannot be read: {error}") from None
    if jwk.get("alg", key.algorithm) not in (key.algorithm, "Ed25519"):
        raise UntrustedKeyError(f"the key's alg is not {key.algorithm}")
    return key


def _parse(public: Mapping[str, Any]) -> Any:
    if public["kty"] == "RSA":
        return jwt.algorithms.RSAAlgorithm.from_jwk(dict(public))
    if public["kty"] == "EC":
        return jwt.algorithms.ECAlgorithm.from_jwk(dict(public))
    return jwt.algorithms.OKPAlgorithm.from_jwk(dict(public))


class Keys(Protocol):
    """Where the verifier finds keys. `generation` changes whenever a key stops being trusted."""

    @property
    def generation(self) -> int:
        """A number that changes when a key was removed or replaced: what was verified before must be verified again."""

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys a token with this header may have been signed with; with `kid` None all of the algorithm."""

    async def refresh(self) -> bool:
        """Look for keys that are not known yet, at a bounded rate. False when the answer may be incomplete."""


class StaticKeys:
    """Keys that never change: HS256 secrets from the settings."""

    generation = 0

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = tuple(keys)

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """As `Keys.find`. A key without `kid` answers to every one: a shared secret often has no name."""
        return select(self._keys, kid, algorithm)

    async def refresh(self) -> bool:
        """True: there are no others."""
        return True


class JoinedKeys:
    """Several sources as one."""

    def __init__(self, *sources: Keys) -> None:
        self._sources = sources

    @property
    def generation(self) -> int:
        """The sum of all: each of them only grows."""
        return sum(source.generation for source in self._sources)

    def find(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys of all sources."""
        return tuple(key for source in self._sources for key in source.find(kid, algorithm))

    async def refresh(self) -> bool:
        """Refresh every source; True when all of them answered."""
        return all([await source.refresh() for source in self._sources])


def select(keys: Iterable[Key], kid: str | None, algorithm: str) -> tuple[Key, ...]:
    """The keys of an algorithm that have this `kid` or none."""
    return tuple(
        key
        for key in keys
        if key.algorithm == algorithm and (kid is None or key.kid is None or key.kid == kid)
    )


def secret(value: str) -> Key:
    """An HS256 key from the settings' text; its `kid` is derived, so that issuer and verifiers agree on it."""
    data = value.encode()
    return Key(data, kid="hs-" + hashlib.sha256(b"kid:" + data).hexdigest()[:16])
