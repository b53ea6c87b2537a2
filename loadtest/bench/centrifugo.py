"""Centrifugo 6 where it is on the path: one node with its Redis engine and a history, as its documentation sets it up.

Clients speak its JSON protocol (https://centrifugal.dev/docs/transports/client_protocol), several commands in one frame; messages are
published by its HTTP API.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt

from deploy.local.ports import free_port
from loadtest.bench.targets import HOST, AbsentError, Child, Target, store

NAME = "Centrifugo"
_HISTORY = {"history_size": 100, "history_ttl": "300s", "force_recovery": True}


class Centrifugo:
    """A running node and its Redis. Raises AbsentError, and RuntimeError when it does not listen."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("centrifugo")
        if binary is None:
            raise AbsentError("Centrifugo is not installed (version 6, `centrifugo` on the path)")
        self._secret, self._key = secrets.token_hex(24), secrets.token_hex(24)
        self._redis, self._port = store(), free_port()
        place = folder / "centrifugo"
        place.mkdir(parents=True, exist_ok=True)
        configuration = place / "config.json"
        configuration.touch(mode=0o600)
        configuration.write_text(json.dumps(self._configuration()), "utf-8")
        try:
            self._node = Child([binary, "--config", str(configuration)], self._port)
        except RuntimeError:
            self._redis.stop()
            raise

    def _configuration(self) -> dict[str, Any]:
        return {
            "http_server": {"address": HOST, "port": self._port},
            "http_api": {"key": self._key},
            "log": {"level": "error"},
            "engine": {
                "type": "redis",
                "redis": {"address": f"redis://{HOST}:{self._redis.port}"},
            },
            "client": {
                "token": {"hmac_secret_key": self._secret},
                # Answers to its pings are the load client's work, which is not what is measured.
                "ping_interval": "3600s",
            },
            "channel": {"without_namespace": {**_HISTORY, "allow_subscribe_for_client": True}},
        }

    def target(self, hellos: Sequence[str], *, joined: str, channels: Sequence[str] = ()) -> Target:
        """Clients that say `hellos` in turn and are in when they hear `joined`; messages go to `channels` in turn."""
        at = {"host": HOST, "port": self._port}
        feed = {
            "kind": "post",
            **at,
            "paths": ["/api/publish"],
            # Else a refusal is a 200 that says so in its body.
            "headers": f"X-API-Key: {self._key}\r\nContent-Type: application/json\r\n"
            "X-Centrifugo-Error-Mode: transport\r\n",
            "channels": list(channels),
            "wraps": [f'{{"channel":{json.dumps(name)},"data":{{}}}}' for name in channels],
        }
        return Target(
            name=NAME,
            subscribe={
                **at,
                "paths": ["/connection/websocket"],
                "hellos": [[hello] for hello in hellos],
                "joined": joined,
            },
            feed=feed,
            programs={NAME: self._node.pid, "redis": self._redis.pid},
            stop=self.stop,
        )

    def hello(self, user: str, channel: str | None = None) -> str:
        """Connect with a token of the user's, and subscribe."""
        claims = {"sub": user, "exp": int(time.time()) + 86_400}
        token = jwt.encode(claims, self._secret, algorithm="HS256")
        commands: list[dict[str, Any]] = [{"id": 1, "connect": {"token": token}}]
        if channel is not None:
            commands.append({"id": 2, "subscribe": {"channel": channel}})
        return "\n".join(json.dumps(command, separators=(",", ":")) for command in commands)

    def stop(self) -> None:
        """End both."""
        self._node.stop()
        self._redis.stop()


_CONNECTED = '"id":1,"connect"'
_SUBSCRIBED = '"id":2,"subscribe"'


def room(folder: Path) -> Target:
    """Everybody in one room."""
    node = Centrifugo(folder)
    return node.target([node.hello("alice", "bench")], joined=_SUBSCRIBED, channels=["bench"])


def rooms(folder: Path, count: int, *, size: int) -> Target:
    """So many users, each in one room of so many."""
    node = Centrifugo(folder)
    hellos = [node.hello(f"u{n}", f"r{n // size}") for n in range(count)]
    return node.target(hellos, joined=_SUBSCRIBED)


def users(folder: Path, count: int) -> Target:
    """So many users, each with a channel of their own, to which messages go in turn."""
    node = Centrifugo(folder)
    channels = [f"u{n}" for n in range(count)]
    hellos = [node.hello(name, name) for name in channels]
    return node.target(hellos, joined=_SUBSCRIBED, channels=channels)


def nobody(folder: Path) -> Target:
    """One user who only connects."""
    node = Centrifugo(folder)
    return node.target([node.hello("alice")], joined=_CONNECTED)
