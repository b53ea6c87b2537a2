"""Runs the auth service: `python -m services.auth`."""

from __future__ import annotations

from fastapi import FastAPI

from services.auth import app
from services.auth.keyring import KeyringError
from services.auth.settings import Settings
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.http import serve
from services.kernel.ops import admin_networks, limits, logs
from services.kernel.ops.refusal import refusing
from services.kernel.ops.settings import load
from services.kernel.ops.usage import check_arguments
from services.kernel.tokens.keys import UntrustedKeyError


def main() -> None:
    """Serve until told to end. What stops the start is one line and exit status 2."""
    check_arguments(
        "auth",
        "Issues tokens and keeps users and clients; python -m services.auth.admin adds them.",
        Settings,
    )
    settings = load(Settings)
    logs.configure("auth", format=settings.log_format, level=settings.log_level)
    with refusing({UntrustedKeyError: "OPENLINE_HS256_SECRET", KeyringError: "OPENLINE_AUTH_KEYS"}):
        application = _application(settings)
    admin_networks.warn_if_assumed(settings)
    serve.serve(
        application,
        host=settings.auth_host,
        port=settings.auth_port,
        name="auth",
        limits=limits.of(settings),
        trusted_proxies=settings.trusted_proxies,
    )


def _application(settings: Settings) -> FastAPI:
    try:
        return app.create(settings)
    except OpenlineError as error:
        raise ConfigurationError(
            f"OPENLINE_DATABASE_URL: {error.message}; start the database or correct the URL"
        ) from error
    except OSError as error:
        problem = error.strerror or str(error)
        raise ConfigurationError(
            f"OPENLINE_AUTH_KEYS={settings.auth_keys}: {problem}; name a folder that this user can read and write"
        ) from error


if __name__ == "__main__":
    main()
