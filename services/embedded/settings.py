"""What the embedded server itself reads, and the settings of the services that it holds."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pydantic import Field, SecretStr

from services.auth.settings import Settings as AuthSettings
from services.gateway.settings import Settings as GatewaySettings
from services.kernel.ops.settings import PREFIX, FromEnvironment, HttpUrl, Port, load
from services.publisher.settings import Settings as PublisherSettings


class Settings(FromEnvironment):
    """Where it listens. Every variable of the services counts as well, but for those of Redis and of databases."""

    host: str = Field("127.0.0.1", min_length=1, description="the address that it listens on")
    port: Port = Field(8080, description="the port that it listens on; 0 takes a free one")
    public_url: HttpUrl | None = Field(
        None, description="the address as clients see it, when not http://127.0.0.1:PORT"
    )
    hs256_secret: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_urlsafe(32)),
        description="at least 32 bytes that sign tokens; random unless given",
    )


class ServiceSettings:
    """The settings of the three services."""

    def __init__(self, settings: Settings, *, url: str, folder: Path) -> None:
        """`url` is the front door, `folder` for auth's accounts."""
        usual = {
            "AUTH_REGISTRATION": "open",
            "AUTH_PASSWORD_GRANT": "on",
            "LOG_LEVEL": "warning",
            "NODE": "memory",
        }
        decided = {
            "PUBLIC_URL": url,
            "HS256_SECRET": settings.hs256_secret.get_secret_value(),
            "AUTH_ALGORITHM": "HS256",
            "DATABASE_URL": f"sqlite:///{folder / 'auth.db'}",
        }
        given = {name: value for name, value in usual.items() if not os.environ.get(PREFIX + name)}
        given = {PREFIX + name: value for name, value in {**given, **decided}.items()}
        # Tokens are verified by the secret alone: there is no key set to fetch.
        keyless = {"jwks_urls": ()}
        self.gateway = load(GatewaySettings, given).model_copy(update=keyless)
        self.auth = load(AuthSettings, given).model_copy(update=keyless)
        self.publisher = load(PublisherSettings, given).model_copy(update=keyless)
