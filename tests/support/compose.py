"""The shipped compose files under a project name and ports of their own, and what can be done to such a stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx2

from deploy.local.ports import free_port
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

ABSENT = frozenset({"grafana"})
"""Services whose images are in no Debian package: left out where they cannot be pulled."""


class ComposeStack:
    """One running project; `url` is the front door. A context manager: up, afterwards down with all that it kept."""

    def __init__(self, project: str, folder: Path, *, files: Sequence[str] = (), **variables: str):
        self.project = project
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {name: value for name, value in os.environ.items() if "OPENLINE_" not in name}
        self.environment = {
            **given,
            "COMPOSE_PROJECT_NAME": project,
            "COMPOSE_FILE": ":".join(["deploy/compose.yaml", *files]),
            "COMPOSE_PROGRESS": "plain",
            "OPENLINE_SECRETS": str(folder / "secrets"),
            "OPENLINE_NOFILE": "16384",
            "OPENLINE_PORT": str(self.port),
            "OPENLINE_PROMETHEUS_PORT": str(free_port()),
            "OPENLINE_ALERTMANAGER_PORT": str(free_port()),
            # The networks of the tests' engine are private as well.
            "OPENLINE_ADMIN_NETWORKS": "198.18.0.0/15,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
            **variables,
        }
        self._clients: list[dict[str, str]] = []

    # ------------------------------------------------------------------------------------------ start and stop

    def up(self) -> Self:
        """Everything, as `make up` does it, and a client that holds every scope."""
        self.make_secrets()
        self.compose("up", "--detach", "--wait", "--wait-timeout", "180", *self.services())
        self._clients = [self.add_client("backend", "publish read manage tokens")]
        return self

    def make_secrets(self) -> None:
        """The secrets that are missing."""
        script = [str(ROOT / "scripts/secrets.sh")]
        subprocess.run(script, env=self.environment, check=True, capture_output=True, timeout=60)

    def serve_tls(self, certificates: Path) -> None:
        """Let the front door speak HTTPS on a port of its own, for localhost."""
        port = free_port()
        self.url = f"https://localhost:{port}"
        self.environment |= {
            "OPENLINE_BIND": "127.0.0.1",
            "OPENLINE_TLS": str(certificates),
            "OPENLINE_TLS_PORT": str(port),
            "OPENLINE_PUBLIC_URL": self.url,
        }

    def down(self, patience: float = 60) -> None:
        """End it and remove what it kept. Raises AssertionError with what is left after so many seconds.

        On a busy machine a volume or a network may be in use for a moment after its containers are gone, so it is asked again.
        """
        deadline = time.monotonic() + patience
        while True:
            done = self._ask(
                "docker", "compose", "--profile", "load", "down", "--volumes", "-t", "10"
            )
            left = self._left()
            if not left:
                return
            used = self._free_networks()
            if time.monotonic() > deadline:
                lost = [f"network {name}" for name, places in used.items() if not places]
                assert left == lost, f"{self.project} left {left}:\n{done.stderr}"
                sys.stdout.write(f"the engine keeps {left} until it is started again\n")
                return
            time.sleep(1)

    def _free_networks(self) -> dict[str, dict[str, Any]]:
        """What is in each network of the project.

        The engine may keep the place of a container that is gone, as `ep-...`: it is given free. It may also have lost count,
        and take a network for used in which nothing is; it counts anew when it starts, and nothing else helps.
        """
        used: dict[str, dict[str, Any]] = {}
        for name in self._mine("network", "ls"):
            shown = ("network", "inspect", name, "--format", "{{json .Containers}}")
            used[name] = json.loads(self.docker(*shown))
            for key, place in used[name].items():
                if key.startswith("ep-"):
                    self._ask("docker", "network", "disconnect", "--force", name, place["Name"])
        return used

    def _left(self) -> list[str]:
        """Containers, volumes and networks of the project that exist, running or not."""
        return [
            *(f"ps {name}" for name in self._mine("ps", "--all", shown="{{.Names}}")),
            *(f"volume {name}" for name in self._mine("volume", "ls")),
            *(f"network {name}" for name in self._mine("network", "ls")),
        ]

    def _mine(self, *listing: str, shown: str = "{{.Name}}") -> list[str]:
        """What the engine lists of the project."""
        mine = ("--filter", f"label=com.docker.compose.project={self.project}")
        return self.docker(*listing, *mine, "--format", shown).split()

    def __enter__(self) -> Self:
        try:
            return self.up()
        except BaseException:
            sys.stdout.write(self.compose("logs", "--tail", "30", check=False))
            self.down()
            raise

    def __exit__(self, *_: object) -> None:
        self.down()

    # -------------------------------------------------------------------------------------------- what it is

    def services(self) -> list[str]:
        """Those that are started when nothing is asked for, but for what no image can be had of."""
        named = self.compose("config", "--services").split()
        missing = {name for name in ABSENT if not self._has_image(name)}
        return sorted(set(named) - missing)

    @property
    def prometheus(self) -> str:
        """Base URL of Prometheus."""
        return f"http://127.0.0.1:{self.environment['OPENLINE_PROMETHEUS_PORT']}"

    @property
    def run(self) -> dict[str, Any]:
        """What `People` want to know of a system."""
        return {
            "front_door": self.url,
            "clients": self._clients,
            "users": [],
            "gateways": [],
            "pids": {"supervisor": self.project},
        }

    def containers(self, service: str) -> list[str]:
        """Names of a service's containers that run."""
        listed = self.compose("ps", "--format", "{{.Name}}", service)
        return sorted(listed.split())

    def address(self, container: str, network: str = "front") -> str:
        """The container's address on one of the project's networks; empty when it is not on it."""
        networks = json.loads(
            self.docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container)
        )
        return str(networks.get(f"{self.project}_{network}", {}).get("IPAddress", ""))

    def add_client(self, name: str, scope: str) -> dict[str, str]:
        """Add an API client as the documentation says; its id and secret."""
        admin = ["python", "-m", "services.auth.admin", "add-client", name, "--scope", scope]
        made: dict[str, str] = json.loads(self.compose("exec", "-T", "auth", *admin, "--replace"))
        return made

    def targets(self) -> dict[str, list[str]]:
        """The health of what Prometheus scrapes, by job."""
        found = httpx2.get(f"{self.prometheus}/api/v1/targets", timeout=10).json()
        health: dict[str, list[str]] = {}
        for target in found["data"]["activeTargets"]:
            health.setdefault(target["labels"]["job"], []).append(target["health"])
        return health

    def inside(self, service: str, path: str, port: int) -> tuple[int, str]:
        """Status and body of a GET on a service's own port, asked from within its container."""
        code = (
            "import sys,urllib.request,urllib.error\n"
            "try: a=urllib.request.urlopen(sys.argv[1],timeout=5)\n"
            "except urllib.error.HTTPError as e: a=e\n"
            "print(a.status); print(a.read().decode())"
        )
        url = f"http://127.0.0.1:{port}{path}"
        status, _, body = self.docker("exec", service, "python", "-c", code, url).partition("\n")
        return int(status), body

    # ------------------------------------------------------------------------------------------ what is done to it

    def scale(self, gateways: int) -> None:
        """As `make scale N=...` does it."""
        up = ("up", "--detach", "--wait", "--no-recreate")
        self.compose(*up, "--scale", f"gateway={gateways}", "gateway")

    def compose(self, *arguments: str, check: bool = True) -> str:
        """What `docker compose` prints."""
        return self._run("docker", "compose", *arguments, check=check)

    def docker(self, *arguments: str) -> str:
        """What `docker` prints."""
        return self._run("docker", *arguments)

    def wait_healthy(self, container: str, timeout: float = 60) -> None:
        """Wait until Docker calls a container healthy."""
        shown = ("inspect", "--format", "{{.State.Health.Status}}", container)
        wait_until(lambda: self.docker(*shown).strip() == "healthy", timeout=timeout)

    def _has_image(self, service: str) -> bool:
        config = json.loads(self.compose("config", "--format", "json"))
        image = config["services"][service]["image"]
        found = subprocess.run(
            ["docker", "image", "inspect", image], capture_output=True, check=False, timeout=30
        )
        return found.returncode == 0

    def _run(self, *command: str, check: bool = True) -> str:
        done = self._ask(*command)
        assert not check or done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
