"""What a local run consists of: ports, folders and each process's environment, decided before anything starts."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, model_validator

from deploy.local.ports import claim, free_port, obstacle
from services.kernel.ops.refusal import refuse
from services.kernel.ops.settings import (
    FILE,
    PREFIX,
    FromEnvironment,
    HttpUrl,
    OriginList,
    Port,
    RedisUrl,
)

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "make run" if (ROOT / "Makefile").is_file() else "openline-server run"
"""What starts a run: where we are installed there is nothing to make."""

_LAST = 65_535


class Settings(FromEnvironment):
    """What the local run itself reads. Every variable of the services may be given as well: it is passed on."""

    host: str = Field("127.0.0.1", description="the address that the front door listens on")
    port: Port | None = Field(
        None,
        description="the front door's port, 8080 unless given; 0 takes a free one. When it is given, free ports are "
        "taken for everything else that has none",
    )
    gateways: int = Field(2, ge=1, le=64, description="how many gateways, 1 to 64")
    gateway_port: Port | None = Field(
        None, description="the first gateway's port, 8101 unless given; the others follow it"
    )
    auth_port: Port | None = Field(None, description="auth's port, 8200 unless given")
    publisher_port: Port | None = Field(None, description="the publisher's port, 8300 unless given")
    status_port: Port | None = Field(
        None, description="the port of nginx's own counts (stub_status), 8081 unless given"
    )
    demo: bool = Field(
        False,
        description="on or off; on lets the page kill gateways, feed its chart and send notifications, from this machine "
        "alone (`make run` and `make dev` set it)",
    )
    demo_port: Port | None = Field(
        None,
        description="the port of the page's helper, 8301 unless given; only with OPENLINE_DEMO=on",
    )
    redis_port: Port | None = Field(None, description="the own Redis' port, 6390 unless given")
    redis_maxmemory: str = Field(
        "1gb",
        pattern=r"^[0-9]+([kmg]b?)?$",
        description="memory of the own Redis, such as 2gb; messages are refused before it is used up; 0 for no bound",
    )
    redis_url: RedisUrl | None = Field(
        None, description="a Redis of yours, 7.0 or newer, to use instead of an own one"
    )
    redis_servers: SecretStr | None = Field(
        None, description="several servers of yours in place of one: OPENLINE_REDIS_SERVERS_FILE"
    )
    var: Path = Field(Path("var"), description="the folder for everything that the run writes")
    public_url: HttpUrl | None = Field(
        None, description="the front door as clients see it, when not http://127.0.0.1:PORT"
    )
    reload: bool = Field(
        False, description="on or off; on restarts a service when its files change (`make dev`)"
    )
    limits: bool = Field(
        True,
        description="on or off; off lifts rates and connection counts, nginx's too, never sizes",
    )
    allowed_origins: OriginList = Field((), description="comma-separated origins of browsers")

    @model_validator(mode="after")
    def _room_for_gateways(self) -> Settings:
        highest = _LAST + 1 - self.gateways
        if self.gateway_port and self.gateway_port > highest:
            raise ValueError(
                f"{PREFIX}GATEWAY_PORT={self.gateway_port} leaves no ports for {self.gateways} gateways; "
                f"choose one up to {highest}"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run: where everything listens and writes.

    `redis_port` is None when somebody else's Redis is used, `redis_url` empty when that is several servers, `demo_port`
    is None when the page may order nothing.
    """

    host: str
    port: int
    gateway_ports: tuple[int, ...]
    auth_port: int
    publisher_port: int
    status_port: int
    demo_port: int | None = None
    redis_port: int | None
    redis_url: str
    redis_maxmemory: str
    var: Path
    public_url: str
    limits: bool
    allowed_origins: tuple[str, ...]
    web: Path = ROOT / "web"

    @property
    def front_door(self) -> str:
        """Base URL under which this machine reaches the front door."""
        return f"http://{_reached_at(self.host)}:{self.port}"

    @property
    def auth(self) -> str:
        """Base URL of auth."""
        return f"http://127.0.0.1:{self.auth_port}"

    @property
    def publisher(self) -> str:
        """Base URL of the publisher."""
        return f"http://127.0.0.1:{self.publisher_port}"

    @property
    def status(self) -> str:
        """URL of nginx's own counts."""
        return f"http://127.0.0.1:{self.status_port}/stub_status"

    @property
    def gateways(self) -> list[str]:
        """Base URLs of the gateways."""
        return [f"http://127.0.0.1:{port}" for port in self.gateway_ports]

    def listeners(self) -> list[tuple[str, int, str, str]]:
        """`(address, port, what, variable)` of everything that will listen."""
        found = [(self.host, self.port, "the front door", "PORT")]
        found += [("127.0.0.1", port, "a gateway", "GATEWAY_PORT") for port in self.gateway_ports]
        found.append(("127.0.0.1", self.auth_port, "auth", "AUTH_PORT"))
        found.append(("127.0.0.1", self.publisher_port, "the publisher", "PUBLISHER_PORT"))
        found.append(("127.0.0.1", self.status_port, "nginx's counts", "STATUS_PORT"))
        if self.demo_port is not None:
            found.append(("127.0.0.1", self.demo_port, "the page's helper", "DEMO_PORT"))
        if self.redis_port is not None:
            found.append(("127.0.0.1", self.redis_port, "Redis", "REDIS_PORT"))
        return [(host, port, what, PREFIX + variable) for host, port, what, variable in found]


def _own_redis(port: int | None) -> str:
    """A new password each time: other users of this machine reach the port, and must not read what is there."""
    return f"redis://:{secrets.token_hex(24)}@127.0.0.1:{port}/0" if port else ""


def make(settings: Settings) -> Plan:
    """The plan of a run. Ports that were not given are the usual ones, or free ones when `port` was given."""
    chosen = _Ports(settings)
    port = chosen.of(settings.port or None, 8080)
    first = settings.gateway_port
    gateways = tuple(
        chosen.of(first + n if first else None, 8101 + n) for n in range(settings.gateways)
    )
    is_given = bool(settings.redis_url or settings.redis_servers)
    redis_port = None if is_given else chosen.of(settings.redis_port, 6390)
    return Plan(
        host=settings.host,
        port=port,
        gateway_ports=gateways,
        auth_port=chosen.of(settings.auth_port, 8200),
        publisher_port=chosen.of(settings.publisher_port, 8300),
        status_port=chosen.of(settings.status_port, 8081),
        demo_port=chosen.of(settings.demo_port, 8301) if settings.demo else None,
        redis_port=redis_port,
        redis_url=settings.redis_url or _own_redis(redis_port),
        redis_maxmemory=settings.redis_maxmemory,
        var=settings.var.resolve(),
        public_url=settings.public_url or f"http://{_reached_at(settings.host)}:{port}",
        limits=settings.limits,
        allowed_origins=settings.allowed_origins,
    )


def _reached_at(host: str) -> str:
    """The host, as it stands in a URL, under which this machine reaches what listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    return f"[{host}]" if ":" in host else host


def check_ports(plan: Plan) -> None:
    """End with one line when two of the plan need the same port, or one cannot be had."""
    users: dict[int, str] = {}
    for host, port, what, variable in plan.listeners():
        if port in users:
            refuse(
                f"{variable}={port}: that is {users[port]}'s port already; choose another for {what}"
            )
        users[port] = what
        problem = obstacle(port, host)
        if problem is None:
            continue
        if problem.errno in (errno.EADDRINUSE, errno.EACCES):
            trouble = "in use" if problem.errno == errno.EADDRINUSE else "not for this user"
            refuse(
                f"port {port} for {what} is {trouble}; choose another: {variable}={free_port()} {_again(variable)}"
                f"{COMMAND} (with OPENLINE_PORT given, free ports are chosen for all the others)"
            )
        refuse(
            f"{PREFIX}HOST={host}: {problem.strerror or problem}; set it to an address of this machine"
        )


@contextlib.contextmanager
def front_door_claimed(plan: Plan) -> Iterator[None]:
    """Hold the front door's port for this run; end with one line when another run does.

    Two nginx of one user may listen on one port (`reuseport`), and Linux would share the connections out. Runs that start
    at the same time both find the port free.
    """
    held = claim(f"front_door.{plan.host}:{plan.port}")
    if held is None:
        refuse(
            f"port {plan.port} for the front door is in use by another run that is starting; choose another: "
            f"{PREFIX}PORT={free_port()} {_again(PREFIX + 'PORT')}{COMMAND}"
        )
    with held:
        yield


def _again(variable: str) -> str:
    """What was given beside `variable` and has to be given again to start the same copy."""
    names = (PREFIX + "PORT", PREFIX + "VAR")
    given = {name: os.environ.get(name) for name in names if name != variable}
    return "".join(f"{name}={shlex.quote(value)} " for name, value in given.items() if value)


class _Ports:
    """Hands out ports: those that were given, else the usual ones, else free ones that nobody else gets."""

    def __init__(self, settings: Settings) -> None:
        self._free = settings.port is not None
        first = settings.gateway_port
        given = {settings.auth_port, settings.publisher_port, settings.status_port}
        given |= {settings.port, settings.redis_port, settings.demo_port}
        given |= {first + n for n in range(settings.gateways)} if first else set()
        self._taken = {port for port in given if port}

    def of(self, given: int | None, usual: int) -> int:
        if given:
            port = given
        elif self._free:
            port = free_port()
            while port in self._taken:
                port = free_port()
        else:
            port = usual
        self._taken.add(port)
        return port


def allowed_origins(plan: Plan) -> str:
    """Whose scripts may use the run: what was given, and pages of this machine."""
    return ",".join([*plan.allowed_origins, "http://localhost:*"])


def environment(plan: Plan, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What every service of the run gets: what was given, then what the run itself decides."""
    usual: dict[str, Any] = {
        "JWKS_URLS": f"{plan.auth}/auth/jwks.json",
        "NAMESPACES": ROOT / "deploy" / "namespaces.toml",
        "ECHO_MAX_BYTES": 65_536,
        "AUTH_REGISTRATION": "open",
        "AUTH_PASSWORD_GRANT": "on",
        "DATABASE_URL": f"sqlite:///{plan.var / 'auth.db'}",
        "AUTH_KEYS": plan.var / "keys",
        "LOG_FORMAT": "json",
    }
    decided: dict[str, Any] = {
        **({"REDIS_URL": plan.redis_url} if plan.redis_url else {}),
        "PUBLIC_URL": plan.public_url,
        "AUTH_PORT": plan.auth_port,
        "PUBLISHER_PORT": plan.publisher_port,
        "ALLOWED_ORIGINS": allowed_origins(plan),
    }
    return {
        # A variable would come before the file that was given for it.
        **{
            PREFIX + name: str(value)
            for name, value in usual.items()
            if not given.get(PREFIX + name + FILE)
        },
        **{name: value for name, value in given.items() if value},
        **{PREFIX + name: str(value) for name, value in decided.items()},
        "PYTHONUNBUFFERED": "1",
        # Where the services are, whatever the folder is: relative paths in settings are from the user's.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), given.get("PYTHONPATH")))),
    }
