"""Who a verified token speaks for and what it carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.kernel.domain import capabilities, channels
from services.kernel.domain.capabilities import Capabilities
from services.kernel.domain.codes import Code, OpenlineError

RATE = "openline_rate"
"""The claim that limits calls over HTTP: a name that other issuers have no other use for."""

PERSONAL = "openline_personal"
"""The claim that, where it is false, takes `user:<sub>` from the holder: auth sets it for clients limited to channels."""

_END_OF_TIME = 2.0**53
"""Seconds that no claim reaches; NaN, infinity and integers too large for a float fail the comparison with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The verified content of a token. `exp` and `iat` are seconds since 1970; `exp` None never ends.

    `rate` is how many HTTP calls a second the holder may make; None is without limit. `personal`: whether `user:<sub>`
    is the holder's own although `channels` does not list it.
    """

    sub: str
    exp: float | None = None
    iat: float | None = None
    jti: str | None = None
    scope: frozenset[str] = frozenset()
    channels: Capabilities | None = None
    info: Any = None
    client: str | None = None
    rate: float | None = None
    personal: bool = True


def parse(payload: Mapping[str, Any], *, subject: str = "sub") -> Claims:
    """Claims from a JWT payload whose signature, issuer, audience and times were checked already.

    `subject` names the claim that holds the user. Raises `unauthorized` naming the claim that is missing or wrong.
    """
    sub = payload.get(subject)
    if not channels.is_subject(sub):
        raise OpenlineError(
            Code.UNAUTHORIZED,
            f"the token's claim {subject} must be 1-128 characters of A-Z a-z 0-9 _ . : @ | = + -",
        )
    try:
        granted = capabilities.parse(payload["channels"]) if "channels" in payload else None
    except OpenlineError as error:
        raise OpenlineError(Code.UNAUTHORIZED, error.message) from None
    return Claims(
        sub=str(sub),
        exp=_number(payload, "exp"),
        iat=_number(payload, "iat"),
        jti=_text(payload, "jti"),
        scope=frozenset((_text(payload, "scope") or "").split()),
        channels=granted,
        info=payload.get("info"),
        client=_text(payload, "client_id"),
        rate=_rate(payload),
        personal=_flag(payload, PERSONAL),
    )


def _flag(payload: Mapping[str, Any], claim: str) -> bool:
    value = payload.get(claim, True)
    if isinstance(value, bool):
        return value
    raise OpenlineError(Code.UNAUTHORIZED, f"the token's claim {claim} must be true or false")


def _rate(payload: Mapping[str, Any]) -> float | None:
    rate = _number(payload, RATE)
    if rate is None or rate > 0:
        return rate
    raise OpenlineError(Code.UNAUTHORIZED, f"the token's claim {RATE} must be more than 0")


def _number(payload: Mapping[str, Any], claim: str) -> float | None:
    value = payload.get(claim)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _END_OF_TIME:
        return float(value)
    raise OpenlineError(Code.UNAUTHORIZED, f"the token's claim {claim} must be a number")


def _text(payload: Mapping[str, Any], claim: str) -> str | None:
    value = payload.get(claim)
    if value is None or isinstance(value, str):
        return value
    raise OpenlineError(Code.UNAUTHORIZED, f"the token's claim {claim} must be a string")
