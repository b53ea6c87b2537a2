"""What the routes work with, as one value that `app` puts together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.auth.credentials import Passwords
from services.auth.grants import Grants
from services.auth.issuer import Issuer
from services.auth.keyring import Keyring
from services.auth.revoker import Revoker
from services.auth.settings import Settings
from services.auth.store import Store
from services.auth.throttle import Guesses, Throttle
from services.kernel.domain.limits import Limits
from services.kernel.http.auth_failures import AuthFailures
from services.kernel.tokens.tickets import Tickets
from services.kernel.tokens.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`own` verifies what this service has signed; `trusted` also what other issuers have, as the gateways do."""

    settings: Settings
    store: Store
    keyring: Keyring
    issuer: Issuer
    passwords: Passwords
    grants: Grants
    revoker: Revoker
    tickets: Tickets
    own: Verifier
    trusted: Verifier
    logins: Throttle
    refreshes: Throttle
    guesses: Guesses
    failures: AuthFailures
    limits: Limits
    clock: Callable[[], float] = time.time

    @property
    def grant_types(self) -> tuple[str, ...]:
        """The grants that are on."""
        if self.settings.auth_password_grant:
            return ("client_credentials", "refresh_token", "password")
        return ("client_credentials", "refresh_token")
