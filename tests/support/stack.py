"""The whole system, started as `make run` starts it, on free ports and in a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import httpx2

from deploy.local.ports import free_block
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Stack:
    """One running system. Addresses and process ids come from its `run.json`, which follows restarts."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.var = folder / "var"
        self.screen_file = folder / "screen.txt"
        given = {
            name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")
        }
        # Tied to us, as `make run` is to make: whoever interrupts the tests leaves nothing behind.
        mine = {**_ports(), "OPENLINE_VAR": str(self.var), "OPENLINE_TIED": "1"}
        self.environment = {**given, **mine, **variables}
        self.process: subprocess.Popen[bytes]
        self._tokens: dict[str, tuple[float, str]] = {}

    # ------------------------------------------------------------------------------------------ start and stop

    def start(self, timeout: float = 240) -> Self:
        """Start everything and wait until the screen is printed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.screen_file.open("wb") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.run"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=screen,
                start_new_session=True,
            )
        wait_until(
            lambda: "ready after" in self.screen or self.process.poll() is not None, timeout=timeout
        )
        if self.process.poll() is not None:
            raise AssertionError(f"the stack did not start:\n{self.screen}")
        self._tokens.clear()
        return self

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, or another signal; the exit status. Whatever would be left is killed and reported."""
        processes = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not any(map(alive, processes)), timeout=30)
        left = [pid for pid in processes if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"processes left behind: {left}"
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -------------------------------------------------------------------------------------------- what it says

    @property
    def screen(self) -> str:
        """What the terminal shows."""
        return self.screen_file.read_text("utf-8")

    @property
    def run(self) -> dict[str, Any]:
        """The present content of `run.json`."""
        content: dict[str, Any] = json.loads((self.var / "run.json").read_text("utf-8"))
        return content

    @property
    def url(self) -> str:
        """Base URL of the front door."""
        return str(self.run["front_door"])

    @property
    def ws(self) -> str:
        """Base URL of the front door for WebSockets."""
        return self.url.replace("http", "ws", 1)

    @property
    def gateways(self) -> list[str]:
        """Base URLs of the gateways, without nginx."""
        return list(self.run["gateways"])

    @property
    def gateways_ws(self) -> list[str]:
        """The same for WebSockets."""
        return [url.replace("http", "ws", 1) for url in self.gateways]

    def log(self, name: str) -> str:
        """The log of a service: `redis`, `auth`, `publisher`, `gateway-1`, ..., `nginx-access`."""
        return (self.var / "logs" / f"{name}.log").read_text("utf-8")

    def processes(self) -> list[int]:
        """Ids of all processes of this run, children such as nginx's workers included."""
        try:
            pids = list(self.run["pids"].values())
        except (FileNotFoundError, ValueError):
            pids = [self.process.pid]
        return sorted({child for pid in pids for child in (pid, *children(pid))})

    # ---------------------------------------------------------------------------------------------- mistreat it

    def pid(self, name: str) -> int:
        """The process id of a service."""
        return int(self.run["pids"][name])

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a service; it is started again at once. Returns when it is ready again."""
        before = self.pid(name)
        os.kill(before, number)
        wait_until(lambda: self.run["pids"].get(name, before) != before, timeout=120)
        self.wait_ready(name)

    def down(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a service and keep it down until `up`."""
        hold = self.var / "hold"
        hold.mkdir(exist_ok=True)
        (hold / name).touch()
        pid = self.pid(name)
        os.kill(pid, number)
        wait_until(lambda: not alive(pid), timeout=60)

    def up(self, name: str) -> None:
        """Let a service that is down start again; returns when it is ready."""
        before = self.run["pids"].get(name)
        (self.var / "hold" / name).unlink()
        wait_until(lambda: self.run["pids"].get(name, before) != before, timeout=120)
        self.wait_ready(name)

    def pause(self, name: str) -> None:
        """SIGSTOP: the service hangs, its connections stay."""
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        os.kill(self.pid(name), signal.SIGCONT)

    def wait_ready(self, name: str, timeout: float = 120) -> None:
        """Wait until a service answers."""
        wait_until(lambda: self.is_ready(name), timeout=timeout)

    def is_ready(self, name: str) -> bool:
        """Whether a service answers that it is ready now."""
        if name == "redis":
            return self._redis_answers()
        run = self.run
        if name == "nginx":
            address = f"{run['front_door']}/healthz"
        elif name.startswith("gateway-"):
            address = f"{run['gateways'][int(name.partition('-')[2]) - 1]}/readyz"
        else:
            address = f"{run[name]}/readyz"
        try:
            return httpx2.get(address, timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    def _redis_answers(self) -> bool:
        import redis  # noqa: PLC0415 - only here

        try:
            with redis.Redis.from_url(self.run["redis"], socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    # --------------------------------------------------------------------------------------------------- use it

    def client_token(self, scope: str | None = None) -> str:
        """An access token of the demo client, with all that it holds unless `scope` asks for less."""
        client = self.run["clients"][0]
        form = {"grant_type": "client_credentials"}
        if scope is not None:
            form["scope"] = scope
        return self._token(
            f"client {scope}", form, auth=(client["client_id"], client["client_secret"])
        )

    def user_token(self, username: str = "alice") -> str:
        """An access token of a demo user, by password."""
        password = {user["username"]: user["password"] for user in self.run["users"]}[username]
        form = {"grant_type": "password", "username": username, "password": password}
        return self._token(f"user {username}", form)

    def connect_token(self, sub: str, **claims: Any) -> str:
        """A token that a back end mints for its user `sub`; `channels`, `info` and `ttl` may be given."""
        response = httpx2.post(
            f"{self.url}/auth/connect-tokens", json={"sub": sub, **claims}, headers=self.bearer()
        )
        assert response.status_code == 201, response.text
        return str(response.json()["token"])

    def ticket(self, token: str) -> str:
        """A ticket for a token's holder: good once, for 30 s."""
        response = httpx2.post(
            f"{self.url}/auth/tickets", headers={"Authorization": f"Bearer {token}"}
        )
        assert response.is_success, response.text
        return str(response.json()["ticket"])

    def bearer(self, token: str | None = None) -> dict[str, str]:
        """The header that carries a token; without one, the demo client's."""
        return {"Authorization": f"Bearer {token or self.client_token()}"}

    def publish(self, channel: str, data: Any, **fields: Any) -> dict[str, Any]:
        """Publish over HTTP through the front door; the answer. Fails unless it is 201."""
        response = httpx2.post(
            f"{self.url}/v1/channels/{channel}/messages",
            json={"data": data, **fields},
            headers=self.bearer(),
        )
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def _token(self, name: str, form: dict[str, str], auth: tuple[str, str] | None = None) -> str:
        kept_until, token = self._tokens.get(name, (0.0, ""))
        if time.monotonic() < kept_until:
            return token
        response = httpx2.post(f"{self.url}/auth/token", data=form, auth=auth)
        assert response.status_code == 200, response.text
        answer = response.json()
        self._tokens[name] = (time.monotonic() + answer["expires_in"] / 2, answer["access_token"])
        return str(answer["access_token"])


def _ports() -> dict[str, str]:
    """Ports that no other test gets; gateways take as many as they are from the last one on."""
    names = ("PORT", "AUTH_PORT", "PUBLISHER_PORT", "STATUS_PORT", "REDIS_PORT", "GATEWAY_PORT")
    return {f"OPENLINE_{name}": str(port) for port, name in enumerate(names, free_block())}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def children(pid: int) -> list[int]:
    """Ids of the children of a process and of theirs."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("utf-8").split():
                found += [int(child), *children(int(child))]
    return found
