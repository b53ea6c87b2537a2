"""The settings of the auth service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from services.kernel.domain.limits import AUTH
from services.kernel.ops import limits
from services.kernel.ops.settings import Common, Port

if TYPE_CHECKING:
    Limited = Common
else:
    Limited = limits.limited(AUTH)

ALGORITHMS = Literal["EdDSA", "RS256", "ES256", "HS256"]

MAX_BODY = 65_536
"""Bytes that any call takes."""


def _database(value: str) -> str:
    if value.startswith("sqlite:///"):
        return value  # the usual one: whoever only reads settings does not import SQLAlchemy for it
    from sqlalchemy.engine import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        backend = make_url(value).get_backend_name()
    except (ValueError, ArgumentError):
        backend = ""
    if backend not in ("sqlite", "postgresql"):
        raise ValueError("must be sqlite:///path or postgresql://user:password@host/name")
    # The driver is ours to choose: postgresql:// means the one that is installed.
    return value.replace("postgresql://", "postgresql+psycopg://", 1)


class Settings(Limited):
    """Common settings, auth's limits and what else it needs. Times in seconds."""

    var: Path = Field(Path("var"), description="folder for data that this machine keeps")
    auth_host: str = Field("127.0.0.1", description="address on which auth listens")
    auth_port: Port = Field(8200, description="port on which auth listens")
    database_url: Annotated[str, AfterValidator(_database)] = Field(
        default_factory=lambda data: f"sqlite:///{data['var']}/auth.db",
        description="users and clients: sqlite:///path or postgresql://user:password@host/name",
    )
    auth_keys: Path = Field(
        default_factory=lambda data: data["var"] / "keys",
        description="folder of the private keys, shared by all instances of auth",
    )
    auth_algorithm: ALGORITHMS = Field(
        "EdDSA", description="what tokens are signed with: EdDSA, RS256, ES256 or HS256"
    )
    auth_registration: Literal["closed", "open"] = Field(
        "closed",
        description="closed or open; open lets strangers register, only for demonstrations",
    )
    auth_password_grant: bool = Field(
        False, description="on or off; RFC 9700 advises against the password grant"
    )
    auth_token_ttl: int = Field(
        3600, ge=10, le=86_400, description="seconds that an access token is good for, 10 to 86400"
    )
    auth_refresh_ttl: int = Field(
        1_209_600,
        ge=60,
        le=31_536_000,
        description="seconds that a refresh token is good for until it is used, 60 to 31536000",
    )
    auth_hashers: int = Field(
        2,
        ge=1,
        le=64,
        description="passwords hashed at the same time, each on its own core, 1 to 64",
    )

    @model_validator(mode="after")
    def _secret(self) -> Settings:
        secret = self.hs256_secret
        if self.auth_algorithm == "HS256" and secret is None:
            raise ValueError("OPENLINE_AUTH_ALGORITHM=HS256 needs OPENLINE_HS256_SECRET")
        return self
