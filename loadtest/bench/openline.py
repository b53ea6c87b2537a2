"""Openline as `make run` starts it, in a data folder of its own: limits off, all else as shipped."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deploy.local.processes import die_with_parent
from loadtest.bench.remote import ROOT, Remote
from loadtest.bench.targets import Target

_TTL = 86_400
_ADDED = Path(__file__).parent / "windows.toml"


_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Until the block has ended: what fork runs beside it would swallow an exception that an interrupt raises there."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)


def before_exec() -> None:
    """In the child: end with us from the first moment on, before it can tie itself, and hear interrupts again."""
    die_with_parent(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)


class Stack:
    """One system with so many `gateways`, started when first needed. `folder` keeps its data, and tokens for the next run.
    `variables` are settings that differ.
    """

    def __init__(
        self, folder: Path, *, gateways: int = 1, variables: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.gateways = gateways
        self.variables = variables or {}
        self.namespaces = folder / "namespaces.toml"
        self.runner: tuple[str, ...] = ("-m", "deploy.local.run")
        self._process: subprocess.Popen[bytes] | None = None
        self._run: dict[str, Any] = {}
        self._tokens: list[str] = []

    def start(self) -> None:
        """Start everything that is not up. Raises RuntimeError when it does not start within 90 s."""
        if self._process is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.namespaces.write_text(self.shipped() + _ADDED.read_text("utf-8"), "utf-8")
        screen = self.folder / "screen.txt"
        with screen.open("wb") as output, interrupts_wait():
            self._process = subprocess.Popen(  # noqa: S603 - a module of ours
                [sys.executable, *self.runner],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=before_exec,  # noqa: PLW1509 - no threads are here
            )
        deadline = time.monotonic() + 90
        while "ready after" not in screen.read_text("utf-8"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"Openline did not start:\n{screen.read_text('utf-8')}")
            time.sleep(0.1)
        self._run = self.read_run()

    def shipped(self) -> str:
        """The namespaces as they are shipped."""
        return (ROOT / "deploy" / "namespaces.toml").read_text("utf-8")

    def read_run(self) -> dict[str, Any]:
        """The present content of its `run.json`, which follows restarts."""
        run: dict[str, Any] = json.loads((self.folder / "var" / "run.json").read_text("utf-8"))
        return run

    def stop(self) -> None:
        """End everything."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Processes that have done nothing yet."""
        self.stop()
        self.start()

    def _environment(self) -> dict[str, str]:
        given = {
            name: text for name, text in os.environ.items() if not name.startswith("OPENLINE_")
        }
        return {
            **given,
            "OPENLINE_TIED": "1",  # it ends with us, however we end
            "OPENLINE_PORT": "0",
            "OPENLINE_VAR": str(self.folder / "var"),
            "OPENLINE_GATEWAYS": str(self.gateways),
            # The issuer of tokens: the same in each run, so that they can be kept.
            "OPENLINE_PUBLIC_URL": "http://bench.example",
            "OPENLINE_LIMITS": "off",
            "OPENLINE_NAMESPACES": str(self.namespaces),
            **self.variables,
        }

    # What it says of itself

    @property
    def redis(self) -> str:
        """URL of its Redis."""
        self.start()
        return str(self._run["redis"])

    def at(self, service: str, *, gateway: int = 0) -> dict[str, Any]:
        """`host` and `port` of gateway (which one, counted from 0), publisher, auth or front_door."""
        self.start()
        url = self._run["gateways"][gateway] if service == "gateway" else self._run[service]
        parts = urlsplit(url)
        return {"host": parts.hostname, "port": parts.port}

    def programs(self, *names: str) -> dict[str, int]:
        """Process ids; without names those of all that takes part in a delivery that passes no nginx."""
        self.start()
        pids = self._run["pids"]
        known = {"gateway" if name == "gateway-1" else name: pid for name, pid in pids.items()}
        return {name: known[name] for name in names or ("gateway", "redis", "publisher", "auth")}

    @property
    def gateway_names(self) -> list[str]:
        """The gateways as `programs` knows them."""
        return ["gateway", *(f"gateway-{n}" for n in range(2, self.gateways + 1))]

    # Tokens

    def bearer(self) -> str:
        """The header with which a back end publishes and mints tokens."""
        client = self._run["clients"][0]
        login = f"{client['client_id']}:{client['client_secret']}".encode()
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self._run['auth']}/auth/token",
            data=b"grant_type=client_credentials",
            headers={"Authorization": f"Basic {base64.b64encode(login).decode()}"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            token = json.load(response)["access_token"]
        return f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    def tokens(self, feeder: Remote, count: int) -> list[str]:
        """Connect tokens of `count` users, `u0` and so on; minted once a day."""
        self.start()
        self._tokens = self._tokens or self._kept()
        missing = range(len(self._tokens), count)
        if missing:
            answer = feeder.ask(
                "post",
                **self.at("auth"),
                path="/auth/connect-tokens",
                headers=self.bearer(),
                connections=8,
                bodies=[json.dumps({"sub": f"u{n}", "ttl": _TTL}) for n in missing],
            )
            self._tokens += [json.loads(text)["token"] for text in answer["answers"]]
            keep = {"until": time.time() + _TTL / 2, "tokens": self._tokens}
            self._file.touch(mode=0o600)
            self._file.write_text(json.dumps(keep), "utf-8")
        return self._tokens[:count]

    @property
    def _file(self) -> Path:
        return self.folder / "tokens.json"

    def _kept(self) -> list[str]:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return []
        # Half of their life at the least is still to come.
        return list(kept["tokens"]) if kept["until"] > time.time() else []

    # Targets

    def subscribe(
        self, channel: str, tokens: list[str], *, service: str = "gateway", gateway: int = 0
    ) -> dict[str, Any]:
        """Subscribing to one channel, each connection with a token of its own."""
        command = json.dumps({"type": "subscribe", "channel": channel, "id": 1})
        return {
            **self.at(service, gateway=gateway),
            "paths": [f"/ws?token={token}" for token in tokens],
            "hellos": [[command]],
            "joined": '"type":"ack"',
        }

    def feed(self, channel: str) -> dict[str, Any]:
        """Publishing to one channel through the broker itself."""
        return {
            "kind": "broker",
            "redis": self.redis,
            "namespaces": str(self.namespaces),
            "channels": [channel],
        }

    def target(
        self, name: str, channel: str, tokens: list[str], *, service: str = "gateway"
    ) -> Target:
        """A channel that is published to through the broker itself."""
        subscribe = self.subscribe(channel, tokens, service=service)
        watch = {**subscribe, "paths": subscribe["paths"][:1]}
        passed = ("gateway", "nginx") if service == "front_door" else ()
        return Target(
            name=name,
            subscribe=subscribe,
            feed={**self.feed(channel), "watch": watch},
            programs=self.programs(*passed),
        )

    def target_by_http(self, name: str, channel: str, tokens: list[str]) -> Target:
        """A channel that is published to by HTTP, one request a message; the publisher counts."""
        feed = {
            "kind": "post",
            **self.at("publisher"),
            "headers": self.bearer(),
            "paths": [f"/v1/channels/{channel}/messages"],
            "wrap": '{"data":{}}',
        }
        return Target(
            name=name,
            subscribe=self.subscribe(channel, tokens),
            feed=feed,
            programs=self.programs(),
        )
