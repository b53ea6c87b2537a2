"""The system that is flooded: its services' addresses, and the tokens of flooder and bystander."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from loadtest.swarm import target

_TTL = 3600
_FILLED = 1000


@dataclass(frozen=True, slots=True)
class Access:
    """What `make run` says of itself, and what its demo client may."""

    run: dict[str, Any]
    bearer: str

    def at(self, service: str) -> tuple[str, int]:
        """Host and port of gateway, auth, publisher or front_door."""
        url = self.run["gateways"][0] if service == "gateway" else self.run[service]
        parts = urlsplit(url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def token(self, user: str) -> str:
        """A token of a user."""
        token: str = self.post("auth", "/auth/connect-tokens", {"sub": user, "ttl": _TTL})["token"]
        return token

    def fill(self, channel: str) -> None:
        """A thousand messages of 1 KB, for floods that read history."""
        messages = [{"channel": channel, "data": "x" * 1000}] * 500
        for _ in range(_FILLED // len(messages)):
            self.post("publisher", "/v1/messages", {"messages": messages})

    def has(self, namespace: str) -> bool:
        """Whether there is such a namespace."""
        try:
            self.post("publisher", f"/v1/channels/{namespace}:floods/messages", {"data": "x"})
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            return bool(problem["code"] != "unknown_namespace")
        return True

    def post(self, service: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A call as the demo client."""
        answer: dict[str, Any] = _call(
            f"{self.run[service]}{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.bearer}", "Content-Type": "application/json"},
        )
        return answer


def find() -> Access:
    """The run on this machine. Raises TargetError when there is none."""
    path = target.run_file()
    if not path.exists():
        raise target.TargetError("nothing runs here: start it with `make run`")
    run = json.loads(path.read_text("utf-8"))
    client = run["clients"][0]
    login = base64.b64encode(f"{client['client_id']}:{client['client_secret']}".encode()).decode()
    form = b"grant_type=client_credentials"
    answer = _call(f"{run['auth']}/auth/token", form, {"Authorization": f"Basic {login}"})
    return Access(run, answer["access_token"])


def _call(url: str, body: bytes, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - from run.json
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.load(response)
