"""With what a publisher identifies itself, and for how long its access token is good."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from openline import address
from openline.errors import OpenlineError
from openline.grammar import check_bearer
from openline.signing import OWN_SECONDS, SigningKey

EARLY = 60.0
"""Seconds before its end at which a token is renewed; half of its life where that is less."""

PAUSE = 5.0
"""Seconds for which an old token is used on after its renewal failed."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the server is, and who we are: a client's `login`, a `token`, or a `key` that signs one."""

    url: str
    login: tuple[str, str] | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    key: SigningKey | None = field(default=None, repr=False)

    def signed(self, now: float) -> tuple[str, float] | None:
        """A token that needs no call and the seconds it is good for; `now` in seconds since 1970."""
        if self.token is not None:
            return self.token, float("inf")
        if self.login is None and self.key is not None:
            return self.key.access_token(issuer=self.url, now=now), float(OWN_SECONDS)
        return None


def credentials(
    url: str | None,
    *,
    client_id: str | None = None,
    client_secret: str | None = None,
    token: str | None = None,
    key: SigningKey | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Credentials:
    """From arguments; what is missing comes from OPENLINE_URL, _CLIENT_ID, _CLIENT_SECRET and _TOKEN.

    Raises OpenlineError (`bad_configuration`) naming what is missing.
    """
    found = address.http_url(url or environ.get("OPENLINE_URL") or address.DEFAULT)
    if client_id is None and token is None and key is None:
        client_id = environ.get("OPENLINE_CLIENT_ID")
        token = None if client_id else environ.get("OPENLINE_TOKEN") or None
    if client_id and client_secret is None:
        client_secret = environ.get("OPENLINE_CLIENT_SECRET")
    if client_id and not client_secret:
        raise _wrong("client_id without client_secret: give both, or OPENLINE_CLIENT_SECRET")
    login = (client_id, client_secret) if client_id and client_secret else None
    if login is None and token is None and key is None:
        raise _wrong(
            "no credentials: give client_id and client_secret (OPENLINE_CLIENT_ID, OPENLINE_CLIENT_SECRET), token or key"
        )
    if token is not None:
        check_bearer(token)
    return Credentials(found, login, token, key)


class AccessToken:
    """The token in use, and when to renew it. Times are those of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.value = ""
        self._renewal = self._end = float("-inf")

    def fresh(self, now: float) -> bool:
        """Whether it needs no renewal yet."""
        return now < self._renewal

    def good(self, now: float) -> bool:
        """Whether the server would take it."""
        return now < self._end

    def keep(self, value: str, seconds: float, now: float) -> None:
        """Use this one, which is good for so many seconds."""
        self.value = value
        self._end = now + seconds
        self._renewal = self._end - min(EARLY, seconds / 2)

    def postpone(self, now: float) -> None:
        """Its renewal failed: use it a little longer, before the next try."""
        self._renewal = min(now + PAUSE, self._end)

    def forget(self, value: str) -> None:
        """The server refused this one; another may have come meanwhile."""
        if value == self.value:
            self._renewal = self._end = float("-inf")


def _wrong(message: str) -> OpenlineError:
    return OpenlineError(message, code="bad_configuration")
