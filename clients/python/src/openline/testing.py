"""A server for tests: the real one in a process of its own, on the broker in memory, or one that runs already."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Self

from openline.client import Client
from openline.publisher import Publisher
from openline.signing import SigningKey

DRAIN_SECONDS = 1.0
_PATIENCE = 60.0


class Server:
    """A running server as a test uses it. `url` is its front door; client id and secret are a back end's."""

    def __init__(self, url: str, *, client_id: str, client_secret: str) -> None:
        self.url = url
        self._login: dict[str, Any] = {"client_id": client_id, "client_secret": client_secret}
        self._publisher: Publisher | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What an application's publisher needs, as environment variables."""
        names = {f"OPENLINE_{name.upper()}": value for name, value in self._login.items()}
        return {"OPENLINE_URL": self.url, **names}

    @property
    def settings(self) -> dict[str, str]:
        """What `openline.django` needs, as members of the setting `OPENLINE`."""
        return {"URL": self.url, **{name.upper(): text for name, text in self._login.items()}}

    @property
    def publisher(self) -> Publisher:
        """A publisher of this server, for all tests."""
        if self._publisher is None:
            self._publisher = Publisher(self.url, **self._login)
        return self._publisher

    def mint(
        self,
        user: str,
        *,
        channels: Mapping[str, Iterable[str]] | None = None,
        info: Any = None,
        ttl: int = 3600,
    ) -> str:
        """A token for a user, good for `ttl` seconds."""
        return self.publisher.token(user, channels=channels, info=info, ttl=ttl)

    def client(self, user: str | None = None, **options: Any) -> Client:
        """A client that connects as a user, or without one; `options` are those of `Client`."""
        token = None if user is None else (lambda _reason: self.mint(user))
        return Client(self.url, token=token, **options)

    def name(self, channel: str) -> str:
        """A channel that no other test has: this one with a random end."""
        return f"{channel}-{secrets.token_hex(4)}"

    def close(self) -> None:
        """Close what was opened here."""
        if self._publisher is not None:
            self._publisher.close()


class EmbeddedServer(Server):
    """`openline-server run --memory` as a child of this process, with which it ends. Needs `openline-server`.

    It is the real gateway, publisher and auth, without a fleet and without durability. Raises RuntimeError when it does
    not start.
    """

    def __init__(self) -> None:
        if find_spec("openline_server") is None:
            raise RuntimeError(
                "an embedded server needs the package openline-server: pip install 'openline[testing]'"
            )
        given = {
            name: text for name, text in os.environ.items() if not name.startswith("OPENLINE_")
        }
        # Settings of the server itself count: namespaces above all.
        namespaces = os.environ.get("OPENLINE_NAMESPACES")
        given |= {"OPENLINE_NAMESPACES": namespaces} if namespaces else {}
        command = ["-P", "-m", "openline_server", "run", "--memory", "--control", "--port", "0"]
        self._process = subprocess.Popen(  # noqa: S603 - our own
            [sys.executable, *command], env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()
        self._number = 0
        facts = self._answer()
        self._key = SigningKey.hs256(facts["hs256_secret"], issuer=facts["url"])
        login = {name: facts[name] for name in ("client_id", "client_secret")}
        super().__init__(facts["url"], **login)
        self._signer = Publisher(self.url, key=self._key)

    def mint(
        self,
        user: str,
        *,
        channels: Mapping[str, Iterable[str]] | None = None,
        info: Any = None,
        ttl: int = 3600,
    ) -> str:
        """A token for a user, good for `ttl` seconds; signed here, without a call."""
        return self._signer.token(user, channels=channels, info=info, ttl=ttl)

    def drop(self, user: str | None = None) -> int:
        """Cut the connections of a user, or all, as a dead network does; how many there were."""
        return int(self._tell("drop", user=user))

    def lose(self, channel: str) -> None:
        """Lose the messages of a channel, as a store without durability may: its listeners are told."""
        self._tell("lose", channel=channel)

    def drain(self, seconds: float = DRAIN_SECONDS) -> int:
        """Begin to move all clients, within `seconds`, as a gateway does before it stops; how many there are."""
        return int(self._tell("drain", seconds=seconds))

    def close(self) -> None:
        """End the server; it takes a fifth of a second."""
        super().close()
        self._signer.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tell(self, verb: str, **fields: Any) -> Any:
        assert self._process.stdin is not None
        with self._lock:
            self._number += 1
            order = {"id": self._number, "verb": verb, **fields}
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._answer()
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["result"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            raise RuntimeError(
                f"the embedded server has ended with status {status}; see its output"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer
