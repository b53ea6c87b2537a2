"""What the JSON calls of auth read and answer."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from services.auth.credentials import MAX_PASSWORD, MIN_PASSWORD
from services.auth.weak_passwords import REPEATED
from services.kernel.domain.capabilities import MAX_PATTERNS
from services.kernel.domain.channels import NAME_GRAMMAR, NAMESPACE_GRAMMAR, SUBJECT_GRAMMAR
from services.kernel.http.bodies import Whole

MAX_INFO = 4096
_DEPTH = 16
_PATTERN = rf"^(\*|{NAMESPACE_GRAMMAR}(\*|:(\*|{NAME_GRAMMAR}\*?)))$"

# Spelled out, so that its schema stands by itself.
Action = Literal["subscribe", "publish", "presence", "history"]


def _patterns(channels: dict[str, Any]) -> dict[str, Any]:
    """Only patterns that some channel can match: a misspelt one would be a token that silently allows nothing."""
    for pattern in channels:
        if not re.fullmatch(_PATTERN, pattern):
            raise ValueError(
                f"{pattern[:250]!r} is not a channel, such as room:lobby, nor a prefix with a final *"
            )
    return channels


_CHANNELS_SCHEMA = {
    "type": "object",
    "maxProperties": MAX_PATTERNS,
    "propertyNames": {"pattern": _PATTERN},
    "additionalProperties": {"type": "array", "items": {"enum": list(get_args(Action))}},
}
Channels = Annotated[
    dict[str, list[Action]],
    Field(max_length=MAX_PATTERNS),
    AfterValidator(_patterns),
    WithJsonSchema(_CHANNELS_SCHEMA),
]


def _small(info: Any) -> Any:
    """What every reader of a token can hold: bounded size and depth, 64-bit integers, finite numbers."""
    _check(info, _DEPTH)
    if len(json.dumps(info, ensure_ascii=False).encode()) > MAX_INFO:
        raise ValueError(f"at most {MAX_INFO} bytes of JSON")
    return info


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError(f"nested more than {_DEPTH} deep")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("an integer must fit 64 bits")
    if isinstance(value, float) and not abs(value) < float("inf"):
        raise ValueError("a number must be finite")
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            _check(member, depth - 1)


def _no_client(sub: str) -> str:
    if sub.startswith("client:"):
        raise ValueError("client:... is how API clients are named; a user's sub must be another")
    return sub


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Registration(_Body):
    """A new user."""

    username: str = Field(
        pattern=r"^[a-z0-9._-]{3,64}$", description="3-64 characters of a-z 0-9 . _ -"
    )
    password: str = Field(
        min_length=MIN_PASSWORD,
        max_length=MAX_PASSWORD,
        description="none that guessers try first: a common word, a row of the keyboard, the username, a repetition",
        json_schema_extra={"not": {"pattern": REPEATED}},
    )


class Registered(BaseModel):
    """The user that now exists."""

    user: str


class ConnectToken(_Body):
    """For whom a back end wants a token and what the token shall allow."""

    sub: Annotated[
        str,
        Field(
            pattern=f"^{SUBJECT_GRAMMAR}$",
            description="the user: 1-128 characters of A-Z a-z 0-9 _ . : @ | = + -, not client:...",
            json_schema_extra={"not": {"pattern": "^client:"}},
        ),
        AfterValidator(_no_client),
    ]
    channels: Channels | None = Field(
        None, description='what the holder may do, e.g. {"room:*": ["subscribe", "publish"]}'
    )
    info: Annotated[Any, AfterValidator(_small)] = Field(
        None, description=f"shown to others in presence; at most {MAX_INFO} bytes of JSON"
    )
    ttl: Whole = Field(3600, ge=1, le=86_400, description="seconds")


class Minted(BaseModel):
    """A token and how many seconds it is good for."""

    token: str
    expires_in: int


class Ticket(BaseModel):
    """A ticket and how many seconds it can be used, once."""

    ticket: str
    expires_in: int


class Rotated(BaseModel):
    """The id of the key that signs now."""

    kid: str


class Jwks(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[dict[str, Any]]


class Token(BaseModel):
    """An access token (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str
    refresh_token: str | None = None


class Introspection(BaseModel):
    """What is known of a token (RFC 7662 section 2.2); of one that is not active, nothing."""

    active: bool
    token_type: str | None = None
    iss: str | None = None
    aud: str | None = None
    sub: str | None = None
    username: str | None = None
    client_id: str | None = None
    scope: str | None = None
    iat: int | None = None
    exp: int | None = None
    jti: str | None = None


class Metadata(BaseModel):
    """What the authorization server can do (RFC 8414)."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    revocation_endpoint: str
    introspection_endpoint: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    scopes_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
