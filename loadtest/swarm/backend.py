"""The back end of the product that is loaded: it mints tokens for its users and publishes, over kept connections."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import gevent.lock
from geventhttpclient import HTTPClient

from loadtest.swarm.target import Target, TargetError

CONNECTIONS = 16
_TTL = 86_400
"""Seconds that a user's token lives, the longest there is: renewing tokens is not what is loaded."""


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes

    @property
    def problem(self) -> str | None:
        """What to show when it is no success."""
        return None if self.status < 300 else f"HTTP {self.status}: {_reason(self.body)}"  # noqa: PLR2004


class Backend:
    """One process' view of the target."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._http = HTTPClient.from_url(
            target.host,
            concurrency=CONNECTIONS,
            connection_timeout=10,
            network_timeout=30,
            ssl_context_factory=_trust,
        )
        self._token = ""
        self._renew = 0.0
        self._login = gevent.lock.Semaphore()

    def post(self, path: str, body: bytes) -> Answer:
        """POST JSON as the back end. Raises OSError, TargetError."""
        answer = self._send(path, body, self._headers("application/json", self._bearer()))
        if answer.status == 401:  # noqa: PLR2004 - revoked, or the target began anew
            self._renew = 0.0
            answer = self._send(path, body, self._headers("application/json", self._bearer()))
        return answer

    def mint(self, sub: str) -> str:
        """A token for a user. Raises OSError, TargetError."""
        answer = self.post("/auth/connect-tokens", json.dumps({"sub": sub, "ttl": _TTL}).encode())
        if answer.problem:
            raise TargetError(
                f"no token for {sub}: {answer.problem}; the client needs the scope tokens"
            )
        return str(json.loads(answer.body)["token"])

    def check(self) -> None:
        """Raises TargetError, saying what to do, when the target does not answer or does not know us."""
        try:
            self._bearer()
        except OSError as error:
            raise TargetError(
                f"nothing answers at {self.target.host} ({error}): start it with `make run`, or say where by --host URL"
            ) from None

    def _bearer(self) -> str:
        with self._login:
            if time.monotonic() >= self._renew:
                self._log_in()
        return f"Bearer {self._token}"

    def _log_in(self) -> None:
        login = f"{self.target.client_id}:{self.target.client_secret}".encode()
        answer = self._send(
            "/auth/token",
            b"grant_type=client_credentials",
            self._headers(
                "application/x-www-form-urlencoded", f"Basic {base64.b64encode(login).decode()}"
            ),
        )
        if answer.problem:
            raise TargetError(
                f"{self.target.host} does not take the client {self.target.client_id} ({answer.problem}): "
                "give --client-id and --client-secret-file of one that it knows"
            )
        granted = json.loads(answer.body)
        self._token = granted["access_token"]
        self._renew = time.monotonic() + granted["expires_in"] / 2

    def _headers(self, kind: str, authorization: str) -> dict[str, str]:
        return {"Content-Type": kind, "Authorization": authorization}

    def _send(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        response = self._http.post(path, body=body, headers=headers)
        return Answer(response.status_code, bytes(response.read()))


def _trust(**_: object) -> ssl.SSLContext:
    """Trust whom the system trusts, or SSL_CERT_FILE names, as all else here does, instead of a list that came with it."""
    return ssl.create_default_context()


def _reason(body: bytes) -> str:
    try:
        said: dict[str, Any] = json.loads(body)
    except ValueError:
        return body[:100].decode("utf-8", "replace")
    return str(said.get("detail") or said.get("error_description") or said.get("error") or said)
