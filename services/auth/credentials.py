"""Names, passwords and secrets: their grammar, hashing and checking."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from services.auth import metrics, weak_passwords
from services.kernel.domain.codes import Code, OpenlineError

USERNAME = r"[a-z0-9._-]{3,64}"
CLIENT_ID = r"[a-z0-9._-]{1,64}"
MIN_PASSWORD, MAX_PASSWORD = 8, 128
MIN_SECRET = 32
MAX_WAITING = 64
"""Checks that may wait for a hasher. More would only wait longer than their callers do."""

T = TypeVar("T")


def check_username(name: str) -> str:
    """The name. Raises `bad_request` saying the limits."""
    if not re.fullmatch(USERNAME, name):
        raise OpenlineError(Code.BAD_REQUEST, "a username is 3-64 characters of a-z 0-9 . _ -")
    return name


def check_client_id(name: str) -> str:
    """The id. Raises `bad_request` saying the limits."""
    if not re.fullmatch(CLIENT_ID, name):
        raise OpenlineError(Code.BAD_REQUEST, "a client id is 1-64 characters of a-z 0-9 . _ -")
    return name


def check_password(password: str, username: str) -> str:
    """The password. Raises `bad_request` saying the limits, or why it is weak."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise OpenlineError(
            Code.BAD_REQUEST, f"a password is {MIN_PASSWORD}-{MAX_PASSWORD} characters"
        )
    reason = weak_passwords.reason(password, username)
    if reason:
        raise OpenlineError(Code.BAD_REQUEST, f"the password {reason}; choose another")
    return password


def check_secret(secret: str) -> str:
    """The client secret. Raises `bad_request` saying the limits."""
    if not MIN_SECRET <= len(secret) <= MAX_PASSWORD or not secret.isascii():
        raise OpenlineError(
            Code.BAD_REQUEST,
            f"a client secret is {MIN_SECRET}-{MAX_PASSWORD} random ASCII characters",
        )
    return secret


def new_secret() -> str:
    """A client secret or refresh token: 256 random bits."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """How a secret of 256 random bits is stored. There is nothing to guess, so one SHA-256 is enough.

    Argon2 here would let anyone who sends wrong secrets keep all cores busy.
    """
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def secret_matches(stored: str | None, secret: str) -> bool:
    """Compares in constant time, also when there is nothing to compare with."""
    return hmac.compare_digest(stored or "0" * 64, digest(secret)) and stored is not None


class Passwords:
    """Argon2id (RFC 9106) off the event loop: at most `hashers` at once and `MAX_WAITING` in line."""

    def __init__(self, hashers: int = 2) -> None:
        # One lane and 19 MiB: the lowest setting that OWASP recommends, so that a burst of logins stays cheap.
        self._argon2 = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._executor = ThreadPoolExecutor(hashers, thread_name_prefix="argon2")
        self._limit = hashers + MAX_WAITING
        self._busy = 0
        self._nobody = self._argon2.hash(secrets.token_urlsafe(16))

    def hash_now(self, password: str) -> str:
        """The hash, computed here and now: for the command line."""
        return self._argon2.hash(password)

    async def hash(self, password: str) -> str:
        """The hash to store. Raises `unavailable` when too many wait."""
        return await self._run(lambda: self._argon2.hash(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored one. `None`, an unknown user, takes as long as a wrong password.

        Raises `unavailable` when too many wait.
        """
        good = await self._run(lambda: self._verify(stored or self._nobody, password))
        return good and stored is not None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._argon2.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._busy >= self._limit:
            raise OpenlineError(
                Code.UNAVAILABLE, "too many logins at once; try again", retry_after=1
            )
        self._busy += 1
        began = time.perf_counter()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._busy -= 1
            metrics.HASHING.observe(time.perf_counter() - began)

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)
