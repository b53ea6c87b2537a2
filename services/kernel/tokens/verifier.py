"""From a token's text to its claims, or a refusal that says what is wrong with it."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from services.kernel.domain import claims as domain
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.tokens.keys import ALGORITHMS, JoinedKeys, Keys
from services.kernel.tokens.revocations import LONGEST_TOKEN

MAX_TOKEN = 16_384
"""Characters. Longer ones are refused before any work is done on them."""

CLIENT_SUBJECT = "client:"
"""How the subject of an API client begins."""

LEEWAY = 60.0
"""Seconds by which another machine's clock may be ahead in `nbf` and `iat`. `exp` has none: it is our promise."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\Z")


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """Whose tokens count: `url` is their `iss`, and only these keys sign for it (RFC 8725 section 3.8).

    `subject` is the claim that holds the user. `privileged`: its `scope` and its subjects `client:...` count; of others
    the scope is passed over, and such a subject is refused, since it would be taken for an API client of ours.
    """

    url: str
    keys: Keys
    subject: str = "sub"
    privileged: bool = True


class Verifier:
    """Verifies tokens (RFC 7515, 7519; the advice of RFC 8725) and remembers those it has verified.

    A token must name one of `issuers` and `audience`, and must end, within `longest` seconds.
    """

    def __init__(
        self,
        issuers: Collection[TrustedIssuer],
        *,
        audience: str,
        longest: float = LONGEST_TOKEN,
        cache: int = 10_000,
    ) -> None:
        self._longest = longest
        self._issuers = {issuer.url: issuer for issuer in issuers}
        sources = [issuer.keys for issuer in issuers]
        self._keys = sources[0] if len(sources) == 1 else JoinedKeys(*sources)
        self._audience = audience
        self._size = cache
        self._cache: OrderedDict[bytes, Claims] = OrderedDict()
        self._generation = self._keys.generation

    def cached(self, token: str, now: float) -> Claims | None:
        """The claims of a token that was verified before, with keys that are all still trusted. Costs no signature."""
        return None if len(token) > MAX_TOKEN else self.recall(digest(token), now)

    def recall(self, digest: bytes, now: float) -> Claims | None:
        """The same by the token's digest, for whoever meets the token again and again."""
        if self._generation != self._keys.generation:
            self._cache.clear()
            self._generation = self._keys.generation
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
        said = _object(payload, "payload")
        issuer = self._issuer(said)
        generation = self._keys.generation
        await _check_signature(issuer.keys, kid, algorithm, message=message, signature=signature)
        claims = self._claims(issuer, said, now)
        if generation == self._keys.generation == self._generation:
            self._remember(token, claims)
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        self._cache[digest(token)] = claims
        if len(self._cache) > self._size:
            self._cache.popitem(last=False)

    def _issuer(self, payload: Mapping[str, Any]) -> TrustedIssuer:
        named = payload.get("iss")
        found = self._issuers.get(named) if isinstance(named, str) else None
        if found is None:
            raise _refused("the token's claim iss names no issuer that is trusted here")
        return found

    def _claims(self, issuer: TrustedIssuer, payload: Mapping[str, Any], now: float) -> Claims:
        audience = payload.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise _refused(f"the token's claim aud must be or contain {self._audience!r}")
        claims = domain.parse(payload, subject=issuer.subject)
        if not issuer.privileged:
            claims = _unprivileged(claims)
        self._times(claims, payload, now)
        return claims

    def _times(self, claims: Claims, payload: Mapping[str, Any], now: float) -> None:
        """Checked last, so that `expired` means that nothing else is wrong."""
        if claims.exp is None:
            raise _refused("the token has no claim exp: it would never end")
        if claims.exp > now + self._longest:
            raise _refused(
                f"the token's claim exp is more than {self._longest:.0f} s ahead (OPENLINE_MAX_TOKEN_TTL)"
            )
        if claims.iat is not None and claims.iat > now + LEEWAY:
            # Also what keeps "everything issued until then is revoked" true.
            raise _early("iat")
        not_before = payload.get("nbf", 0)
        if isinstance(not_before, bool) or not isinstance(not_before, int | float):
            raise _refused("the token's claim nbf must be a number")
        if not_before > now + LEEWAY:
            raise _early("nbf")
        if claims.exp <= now:
            raise OpenlineError(Code.UNAUTHORIZED, "the token has expired", expired=True)


async def _check_signature(
    keys: Keys, kid: str | None, algorithm: str, *, message: bytes, signature: bytes
) -> None:
    candidates = keys.find(kid, algorithm)
    complete = True
    if not candidates:
        complete = await keys.refresh()
        candidates = keys.find(kid, algorithm)
    for key in candidates:
        if key.verifies(message, signature):
            return
    if not candidates and not complete:
        raise OpenlineError(
            Code.UNAVAILABLE, "the issuer's keys cannot be fetched at the moment", retry_after=5
        )
    if not candidates:
        raise _refused(
            f"the token's key (kid {_shown(kid)}, alg {algorithm}) is not known here as one of its issuer's"
        )
    raise _refused("the token's signature does not match its content")


def _unprivileged(claims: Claims) -> Claims:
    if claims.sub.startswith(CLIENT_SUBJECT):
        raise _refused(
            f"a subject {CLIENT_SUBJECT}... is an API client's; OPENLINE_SCOPE_ISSUERS does not list this issuer"
        )
    return replace(claims, scope=frozenset())


def _early(claim: str) -> OpenlineError:
    """A new token may be good, as after `exp`: time mends this, so the refusal is not final."""
    return OpenlineError(
        Code.UNAUTHORIZED,
        f"the token is not valid yet (claim {claim} over {LEEWAY:.0f} s ahead); set the issuer's clock",
        expired=True,
    )


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
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise _refused("a part of the token is not base64url") from None
    # The last character has bits that mean nothing: others would make another spelling of the same token.
    if urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise _refused("a part of the token is not base64url: its last character has bits too many")
    return data


def _header(data: bytes) -> tuple[str, str | None]:
    header = _object(data, "header")
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise _refused(f"the token's alg must be one of {', '.join(ALGORITHMS)}")
    if "crit" in header:
        # RFC 7515 section 4.1.11: an extension that is not understood must be refused; we understand none.
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


def digest(token: str) -> bytes:
    """What a verified token is remembered by."""
    # Half the instructions of hashlib's SHA-256, which first has to find OpenSSL's.
    return hashlib.blake2b(token.encode(errors="surrogatepass"), digest_size=32).digest()


def _shown(kid: str | None) -> str:
    return "none" if kid is None else ascii(kid[:40])


def _refused(message: str) -> OpenlineError:
    return OpenlineError(Code.UNAUTHORIZED, message)
