"""From a token's text to its claims, or a refusal that says what is wrong with it."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from services.kernel.domain import claims as domain
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.keys import ALGORITHMS, Keys

MAX_TOKEN = 16_384
"""Characters. Longer ones are refused before any work is done on them."""

LEEWAY = 5.0
"""Seconds by which another machine's clock may be ahead in `nbf` and `iat`. `exp` has none: it is our promise."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\Z")


class Verifier:
    """Verifies tokens (RFC 7515, 7519; the advice of RFC 8725) and remembers those it has verified.

    A token must name one of `issuers` and `audience`, and must end. `subject` is the claim that holds the user.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        issuers: Collection[str],
        audience: str,
        subject: str = "sub",
        cache: int = 10_000,
    ) -> None:
        self._keys = keys
        self._issuers = frozenset(issuers)
        self._audience = audience
        self._subject = subject
        self._size = cache
        self._cache: OrderedDict[bytes, Claims] = OrderedDict()
        self._generation = keys.generation

    def cached(self, token: str, now: float) -> Claims | None:
        """The claims of a token that was verified before, with keys that are all still trusted. Costs no signature."""
        if self._generation != self._keys.generation:
            self._cache.clear()
            self._generation = self._keys.generation
        if len(token) > MAX_TOKEN:
            return None
        digest = _digest(token)
        claims = self._cache.get(digest)
        if claims is None:
            return None
        if claims.exp is None or claims.exp <= now:
            del self._cache[digest]
            return None
        self._cache.move_to_end(digest)
        return claims

    async def verify(self, token: str, now: float) -> Claims:
        """The claims of a valid token; `now` in seconds since 1970.

        Raises `unauthorized` (with `expired` when nothing else is wrong), or `unavailable` when the key is unknown
        and the issuer's keys cannot be fetched at the moment.
        """
        found = self.cached(token, now)
        if found is not None:
            return found
        header, message, payload, signature = _split(token)
        algorithm, kid = _header(header)
        generation = self._keys.generation
        await self._check_signature(kid, algorithm, message=message, signature=signature)
        claims = self._claims(_object(payload, "payload"), now)
        if generation == self._keys.generation == self._generation:
            self._remember(token, claims)
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        self._cache[_digest(token)] = claims
        if len(self._cache) > self._size:
            self._cache.popitem(last=False)

    async def _check_signature(
        self, kid: str | None, algorithm: str, *, message: bytes, signature: bytes
    ) -> None:
        candidates = self._keys.find(kid, algorithm)
        complete = True
        if not candidates:
            complete = await self._keys.refresh()
            candidates = self._keys.find(kid, algorithm)
        for key in candidates:
            if key.verifies(message, signature):
                return
        if not candidates and not complete:
            raise OpenlineError(
                Code.UNAVAILABLE, "the issuer's keys cannot be fetched at the moment", retry_after=5
            )
        if not candidates:
            raise _refused(
                f"the token's key (kid {_shown(kid)}, alg {algorithm}) is not known here"
            )
        raise _refused("the token's signature does not match its content")

    def _claims(self, payload: Mapping[str, Any], now: float) -> Claims:
        issuer = payload.get("iss")
        if not isinstance(issuer, str) or issuer not in self._issuers:
            raise _refused("the token's claim iss names no issuer that is trusted here")
        audience = payload.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise _refused(f"the token's claim aud must be or contain {self._audience!r}")
        claims = domain.parse(payload, subject=self._subject)
        self._times(claims, payload, now)
        return claims

    def _times(self, claims: Claims, payload: Mapping[str, Any], now: float) -> None:
        """Checked last, so that `expired` means that nothing else is wrong."""
        if claims.exp is None:
            raise _refused("the token has no claim exp: it would never end")
        if claims.iat is not None and claims.iat > now + LEEWAY:
            # Also what keeps "everything issued until then is revoked" true.
            raise _refused("the token's claim iat lies in the future")
        not_before = payload.get("nbf", 0)
        if isinstance(not_before, bool) or not isinstance(not_before, int | float):
            raise _refused("the token's claim nbf must be a number")
        if not_before > now + LEEWAY:
            raise _refused("the token is not valid yet (claim nbf)")
        if claims.exp <= now:
            raise OpenlineError(Code.UNAUTHORIZED, "the token has expired", expired=True)


def _split(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """(header, signed message, payload, signature), decoded. Strict base64url: a token has one spelling."""
    if len(token) > MAX_TOKEN:
        raise _refused(f"a token has at most {MAX_TOKEN} characters")
    match = _COMPACT.match(token)
    if match is None:
        raise _refused("a token is a JWT: three base64url parts with dots between")
    header, payload, signature = (_decode(part) for part in match.groups())
    return header, token.rpartition(".")[0].encode(), payload, signature


def _decode(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise _refused("a part of the token is not base64url") from None


def _header(data: bytes) -> tuple[str, str | None]:
    header = _object(data, "header")
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise _refused(f"the token's alg must be one of {', '.join(ALGORITHMS)}")
    if "crit" in header:
        # RFC 7515 section 4.1.11: who does not understand an extension must refuse it; we understand none.
        raise _refused("the token's header has crit extensions, which are not known here")
    if kid is not None and (not isinstance(kid, str) or len(kid) > 256):  # noqa: PLR2004 - named in the message
        raise _refused("the token's kid must be a string of at most 256 characters")
    return algorithm, kid


def _object(data: bytes, part: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise _refused(f"the token's {part} is not JSON") from None
    if not isinstance(value, dict):
        raise _refused(f"the token's {part} is not a JSON object")
    return value


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _shown(kid: str | None) -> str:
    return "none" if kid is None else ascii(kid[:40])


def _refused(message: str) -> OpenlineError:
    return OpenlineError(Code.UNAUTHORIZED, message)
