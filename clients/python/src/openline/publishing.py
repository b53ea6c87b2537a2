"""What the publishers for threads and for tasks share: who they are, and all else that waits for nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2

from openline import http
from openline.calls import Answer
from openline.credentials import AccessToken, Credentials
from openline.errors import OpenlineError
from openline.retries import Attempts, Policy

DISCONNECTED = 4004
"""The close code of those whom a back end disconnects, unless it gives another one."""


class Publishing:
    """The base of `Publisher` and `AsyncPublisher`, which send."""

    def __init__(self, credentials: Credentials, policy: Policy) -> None:
        self._credentials = credentials
        self._policy = policy
        self._access = AccessToken()

    @property
    def url(self) -> str:
        """The server's front door."""
        return self._credentials.url

    def _attempts(self, started: float | None = None) -> Attempts:
        """The tries of one call, which began now or then."""
        since = time.monotonic() if started is None else started
        return Attempts(self._policy, started=since, random=http.jitter)

    def _user_token(
        self, user: str, channels: Mapping[str, Iterable[str]] | None, info: Any, ttl: int
    ) -> str | None:
        """A user's token that is signed here; None where there is no key."""
        key = self._credentials.key
        if key is None:
            return None
        now = time.time()
        return key.connect_token(
            user, channels=channels, info=info, ttl=ttl, issuer=self.url, now=now
        )

    def _needs_no_login(self) -> bool:
        """Whether our access token could be renewed without a call; then it has been."""
        signed = self._credentials.signed(time.time())
        if signed is not None:
            self._access.keep(*signed, time.monotonic())
        return signed is not None

    def _login(self) -> tuple[str, str]:
        login = self._credentials.login
        assert login is not None  # else a token or a key is there
        return login

    def _use_on(self, error: OpenlineError) -> None:
        """The renewal has failed: the old token counts a little longer. Raises `error` where there is none."""
        now = time.monotonic()
        if not (error.temporary and self._access.good(now)):
            raise error
        self._access.postpone(now)

    def _forgot(self, token: str, answer: Answer) -> bool:
        """Whether to try again with a new token: this one may have been revoked, or its key dropped."""
        if answer.status != httpx2.codes.UNAUTHORIZED or self._credentials.token is not None:
            return False
        self._access.forget(token)
        return True
