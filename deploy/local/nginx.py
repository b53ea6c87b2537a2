"""The front door's configuration for this machine, written from the templates that all deployments share."""

from __future__ import annotations

import os
import pwd
import re
import resource
import subprocess
from pathlib import Path

from deploy.local import front_door
from deploy.local.plan import ROOT, Plan, allowed_origins, environment
from services.kernel.ops.refusal import refuse
from services.kernel.ops.settings import load

TEMPLATES = ROOT / "nginx"
_VARIABLE = re.compile(r"\$\{([A-Z]+)\}")
_FILES = 65_536


def write(plan: Plan, folder: Path, *, shutdown: int) -> Path:
    """Write the configuration into `folder` and return the path of its main file.

    `shutdown`: seconds that a reload leaves to connected clients.
    """
    (folder / "temp").mkdir(parents=True, exist_ok=True)
    values = {**_values(plan), "SHUTDOWN": str(shutdown)}
    for source in sorted(TEMPLATES.glob("*.conf*")):
        text = source.read_text("utf-8")
        target = folder / source.name.removesuffix(".template")
        target.write_text(
            fill(text, values) if source.suffix == ".template" else text, encoding="utf-8"
        )
    (folder / "origins.conf").write_text(_printed("origins.sh", allowed_origins(plan)))
    (folder / "limits.conf").write_text(_limits(plan))
    (folder / "demo.conf").write_text(_demo(plan))
    return folder / "nginx.conf"


_DEMO = """\
# The page's helper: for this machine alone.
location ^~ /demo/ {{
    allow 127.0.0.1;
    allow ::1;
    deny all;
    client_max_body_size 1k;
    include proxy.conf;
    proxy_set_header Connection "";
    proxy_pass http://127.0.0.1:{port};
}}
"""
_NO_DEMO = """\
# The page asks what it may order: nothing.
location = /demo/gateways {
    return 204;
}
"""


def _demo(plan: Plan) -> str:
    return _NO_DEMO if plan.demo_port is None else _DEMO.format(port=plan.demo_port)


def check_limits(plan: Plan) -> None:
    """End with one line when nginx's limits are wrong or would cut those of the services short."""
    load(front_door.Settings, environment(plan))
    _limits(plan)


def _limits(plan: Plan) -> str:
    given = {**environment(plan), "OPENLINE_LIMITS": "on" if plan.limits else "off"}
    return _printed("limits.sh", environment=given)


def _printed(script: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What a script of ours prints; where it refuses, this process ends with what it says."""
    command = ["sh", str(TEMPLATES / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        refuse(done.stderr.strip())
    return done.stdout


def fill(text: str, values: dict[str, str]) -> str:
    """The text with each `${NAME}` outside comments replaced. Raises KeyError for a name without a value."""

    def line(source: str) -> str:
        if source.lstrip().startswith("#"):
            return source
        return _VARIABLE.sub(lambda match: values[match[1]], source)

    return "\n".join(line(source) for source in text.splitlines()) + "\n"


def _values(plan: Plan) -> dict[str, str]:
    files = min(_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    return {
        # As root, workers would run as nobody and could not read pages in a private folder.
        "USER": f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
        "WORKERS": str(min(4, os.cpu_count() or 1)),
        "FILES": str(files),
        "CONNECTIONS": str(files // 2),
        "LOGS": _quoted(plan.var / "logs"),
        "WEB": _quoted(plan.web),
        "LISTEN": f"{host}:{plan.port}",
        "STATUS": str(plan.status_port),
        "GATEWAYS": _servers(plan, "max_fails=1 fail_timeout=3s"),
        "ALLGATEWAYS": _servers(plan, "max_fails=0"),
        "AUTH": f"127.0.0.1:{plan.auth_port}",
        "PUBLISHER": f"127.0.0.1:{plan.publisher_port}",
    }


def _servers(plan: Plan, options: str) -> str:
    return "\n".join(f"    server 127.0.0.1:{port} {options};" for port in plan.gateway_ports)


def _quoted(path: Path) -> str:
    """A path as it may stand between double quotes. Raises ValueError for the few characters that nginx cannot hold."""
    text = str(path)
    if set(text) & set('"\\$\n'):
        raise ValueError(
            f"the folder {text!r} has one of \" \\ $ in its name, which nginx's configuration cannot hold; move it"
        )
    return text
